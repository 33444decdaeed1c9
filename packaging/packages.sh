# packages.sh: the Debian packages we need, and how to get those that are missing. Sourced.

build_packages="build-essential cmake ninja-build pkg-config libfuse3-dev fuse3 libdnnl-dev libpng-dev
  zlib1g-dev libinih-dev libjansson-dev libssl-dev libutf8proc-dev"
test_packages="python3 python3-pil python3-numpy pngcheck imagemagick libgdk-pixbuf2.0-bin
  rsync rclone inotify-tools procps util-linux"

# need_packages NAME…: install what is missing with apt, through sudo if we are not root.
need_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "please install as root:$missing" >&2; return 1; }
    as_root=sudo
  fi
  echo "installing:$missing"
  $as_root apt-get update -q
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
