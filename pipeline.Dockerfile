# What the pipeline needs. The checkout is mounted, because DVC works in a git repository:
#   docker build --tag telucodec-pipeline --file pipeline.Dockerfile .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" telucodec-pipeline dvc repro

# The full image has the compiler that pesq is built with.
FROM python:3.11 AS build
# pip reads it from the environment: the index of PyTorch's wheels for CPUs makes the image gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY codec codec
# As `make install` does; pyproject.toml says why resemblyzer is apart.
RUN python -m venv --without-pip /opt/pipeline \
    && pip --python /opt/pipeline/bin/python install --no-cache-dir --constraint constraints.txt '.[pipeline]' \
    && pip --python /opt/pipeline/bin/python install --no-cache-dir --constraint constraints.txt --no-deps resemblyzer

FROM python:3.11-slim
# git for DVC; a version of Debian's own would be gone with its next update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/pipeline /opt/pipeline
# The code is that of the checkout, and caches go where any user may write.
ENV PATH=/opt/pipeline/bin:$PATH PYTHONPATH=/work HOME=/tmp
WORKDIR /work
USER 1000:1000
CMD ["dvc", "repro"]
