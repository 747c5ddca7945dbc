# One image for every process of an installation; docker-compose.yml says which runs what.
# Tags move: for a build that can be repeated, append the digest that `docker buildx imagetools inspect` shows.
FROM python:3.11-slim-bookworm

# The gazette is set in Chinese.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*

# Volumes that are mounted here begin with these owners.
RUN groupadd --gid 10001 tongfa \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tongfa --shell /usr/sbin/nologin tongfa \
    && install -d -m 0750 -o 10001 -g 10001 /var/lib/tongfa \
    && install -d -m 0755 -o 10001 -g 10001 /srv/website

WORKDIR /opt/tongfa
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/runtime.txt

COPY pyproject.toml celery_app.py ./
COPY sync sync
COPY channels channels
COPY tasks tasks
COPY templates templates
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && .venv/bin/python -m compileall -q sync channels tasks celery_app.py

# The program belongs to root and is only read by the user that runs it.
USER 10001:10001
ENV PATH=/opt/tongfa/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TONGFA_HOME=/var/lib/tongfa
CMD ["tongfa", "--help"]
