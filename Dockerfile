# docker build --build-arg VERSION="$(git describe --tags --always)" -t l7 .
# docker run -p 80:80 -v "$PWD/l7.yml:/l7.yml:ro" l7 --config /l7.yml
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make build VERSION="$VERSION"

FROM scratch
# Certificate authorities, for https:// servers.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/l7 /l7
# No root. Container engines let such a user listen on port 80 (they set net.ipv4.ip_unprivileged_port_start=0 inside the
# container); where yours does not, or with the host's network, set that sysctl or choose a port from 1024 up.
USER 65532:65532
EXPOSE 80
ENTRYPOINT ["/l7"]
