# Sourced by quickstart.sh, test.sh and .ci/run: which Debian packages are needed, and how missing ones are installed.

BUILD_PACKAGES="gcc libc6-dev make cmake pkg-config libcjson-dev libyaml-dev zlib1g-dev libssl-dev libpcre2-dev \
libutf8proc-dev libcurl4-openssl-dev"
TEST_PACKAGES="check g++"
CI_PACKAGES="ninja-build"                   # what builds faster with it builds without it, too
FUZZ_PACKAGES="clang llvm-14 libclang-rt-14-dev libomp-14-dev"

# install_missing PACKAGE...: installs what is not there, as root or with sudo; else prints the one command and fails.
install_missing() {
    local missing=() p sudo=
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "Not a Debian system: these packages, or what they are called here, must be installed: $*" >&2
        return 0        # CMake will name what is not found
    fi
    for p in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            sudo=sudo
        else
            echo "Packages are missing, and this is neither root nor sudo. Install them with:" >&2
            echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
    fi
    echo "Installing Debian packages: ${missing[*]}"
    # A package list that is only partly fresh may still do: the install decides.
    $sudo apt-get update -qq || echo "apt-get update failed; trying with the lists that are here" >&2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
