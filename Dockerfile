# docker build -t d2l_mlp .
# docker run --rm -v "$PWD/output:/d2l_mlp/output" d2l_mlp
FROM --platform=linux/amd64 python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /d2l_mlp
COPY . .
RUN make setup
CMD ["make", "book"]
