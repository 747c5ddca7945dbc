"""Every kind of outlet, by name. A literal table: nothing registers itself."""

KINDS: dict[str, str] = {
    "website": "channels.website:WebsiteChannel",
    "bluesky": "channels.bluesky:BlueskyChannel",
    "mastodon": "channels.mastodon:MastodonChannel",
    "telegram": "channels.telegram:TelegramChannel",
    "wordpress": "channels.wordpress:WordpressChannel",
    "wechat": "channels.wechat:WechatChannel",
    "webhook": "channels.webhook:WebhookChannel",
    "gazette": "channels.gazette:GazetteChannel",
    "email": "channels.email:EmailChannel",
    "apprise": "channels.apprise:AppriseChannel",
    "manual": "channels.manual:ManualChannel",
    "ghost": "channels.ghost:GhostChannel",
    "weibo": "channels.weibo:WeiboChannel",
    "dingtalk": "channels.dingtalk:DingtalkChannel",
    "feishu": "channels.feishu:FeishuChannel",
    "wecom": "channels.wecom:WecomChannel",
}
