#!/usr/bin/env bash
# calls.sh UAPI VERSION: makes calls.tsv from the kernel's headers. UAPI is the folder of Debian's package linux-libc-dev
# that has one folder for each architecture (/usr/lib/linux/uapi), VERSION what the package calls itself.
set -euo pipefail
uapi=$1 version=$2
numbers() { # numbers COLUMN HEADER PREFIX BASE
  sed -n "s/^#define $3\([a-z_][a-z0-9_]*\)[[:space:]]*\((__[A-Z_]*BASE *+ *\)\?\(0x[0-9a-f]*\|[0-9]*\))\?.*/\1 \3/p" "$uapi/$2" |
    while read -r name number; do echo "$name $1 $(($4 + number))"; done
}
{
  echo "# System call numbers of $version, made by calls.sh. A dash: the architecture has no such call."
  printf '# name\tx86_64\taarch64\tx86\tarm\n'
  {
    numbers 1 x86/asm/unistd_64.h __NR_ 0
    numbers 2 arm64/asm/unistd_64.h __NR_ 0
    numbers 3 x86/asm/unistd_32.h __NR_ 0
    numbers 4 arm/asm/unistd-eabi.h __NR_ 0
    numbers 4 arm/asm/unistd.h __ARM_NR_ $((0x0f0000))
  } | awk '{ names[$1]; number[$1, $2] = $3 }
    END { for (name in names) { line = name
      for (column = 1; column < 5; column++) line = line "\t" (((name, column) in number) ? number[name, column] : "-")
      print line } }' | LC_ALL=C sort
} >"$(dirname "$0")/calls.tsv"
