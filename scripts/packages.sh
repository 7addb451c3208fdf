# Sourced by the other scripts: installs Debian packages where that is allowed.

# As root, or by way of sudo where it asks for no password; fails where neither is there.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo "$@"
  else
    return 1
  fi
}

# install_packages PACKAGE...: installs those that are missing; says which ones it could not and fails.
install_packages() {
  missing=""
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  echo "installing:$missing"
  apt_log=$(mktemp)
  # shellcheck disable=SC2086
  if command -v apt-get >/dev/null &&
    { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing ||
      { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; }; } >"$apt_log" 2>&1; then
    rm -f "$apt_log"
    return 0
  fi
  tail -n 3 "$apt_log" 2>/dev/null || true
  rm -f "$apt_log"
  echo "could not install:$missing" >&2
  return 1
}
