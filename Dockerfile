# The page as a service, for who runs no Space: docker build -t musicgen . && docker run -p 7860:7860 --stop-timeout 30 musicgen
FROM python:3.11-slim

# MindSpore's and numba's threads are OpenMP's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# As a Space installs it, in the same order.
WORKDIR /app
COPY pre-requirements.txt requirements.txt ./
RUN pip install --no-cache-dir -r pre-requirements.txt \
    && pip install --no-cache-dir -r requirements.txt

# numba keeps compiled kernels beside the source, MindSpore writes into the working folder, downloaded checkpoints go
# into /data, where a volume may stand: all three are this user's.
RUN useradd --create-home --uid 1000 musicgen \
    && mkdir /data \
    && chown musicgen:musicgen /app /data
COPY --chown=musicgen:musicgen app.py ./
COPY --chown=musicgen:musicgen musicgen_ui musicgen_ui
COPY --chown=musicgen:musicgen assets assets
USER musicgen
VOLUME /data

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HOME=/data \
    PYTHONUNBUFFERED=1
EXPOSE 7860
# 503 (the engine can't be started, or the app is ending) is an error to urlopen.
HEALTHCHECK --interval=30s --timeout=10s --start-period=3m \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/healthz', timeout=8)"]

# As process 1 it hears SIGTERM itself: what runs is finished within MUSICGEN_STOP_SECONDS (25), so give it 30.
STOPSIGNAL SIGTERM
CMD ["python", "app.py"]
