# The dashboard, its engines and its workers on CPUs; docs/containers.md has the commands.
FROM python:3.11-slim-bookworm

# Nobody who breaks in is root, and what a search writes belongs to an ordinary account.
RUN useradd --create-home --uid 1000 informer
WORKDIR /home/informer/app

# The build of PyTorch without CUDA, which is several GB smaller; the pin is that of requirements.txt.
COPY requirements.txt requirements-login.txt constraints.txt ./
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        "$(grep -o '^torch==[0-9.]*' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt -r requirements-login.txt

COPY --chown=informer:informer . .
RUN mkdir /workspace && chown informer:informer . /workspace
USER 1000

# In the volume: database, checkpoints, runs, bundles; downloads and data sets of one's own, too.
VOLUME /workspace
ENV NAS_DB=/workspace/nas.db \
    XDG_DATA_HOME=/workspace/data \
    XDG_CACHE_HOME=/workspace/cache \
    PYTHONUNBUFFERED=1

# Inside a container 127.0.0.1 reaches nobody. Without NAS_WITHOUT_LOGIN=true or a login the pages show
# nothing on this address: see docs/containers.md before you publish the port.
EXPOSE 8501
HEALTHCHECK --interval=30s --start-period=30s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
# `init: true` or `--init` lets ended workers be reaped.
CMD ["streamlit", "run", "app.py", "--server.address", "0.0.0.0"]
