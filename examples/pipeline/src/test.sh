# fails unless the program greets whom it is told to
got=$(sh /work/greet tester)
case $got in
*", tester") echo "ok: $got" | tee /tests ;;
*) echo "not ok: $got" | tee /tests; exit 1 ;;
esac
