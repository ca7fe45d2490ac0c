# The codec alone, without PyTorch:
#   docker build --tag telucodec .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" telucodec encode talk.wav --snr 30

FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY codec codec
# pip stays outside: the image needs it no more.
RUN python -m venv --without-pip /opt/telucodec \
    && pip --python /opt/telucodec/bin/python install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/telucodec /opt/telucodec
ENV PATH=/opt/telucodec/bin:$PATH
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["telucodec"]
CMD ["--help"]
