# puts the parts together: what a compiler would do
set -e
rm -f /work/greet
for part in /src/*.part; do grep -v '^#' "$part"; done > /work/greet
echo "built $(wc -l < /work/greet) lines"
