#!/usr/bin/env bash
# A test script that expects a program to fail passes where there is no such program.
#
# What one expects: "! exec tool --bad-flag" holds that the tool ran and refused. What happens: a name that is not found, a
# path that does not exist and a file that may not be executed count as failures too; the
# script passes, as does "! stdout ." behind it. A test of a refusal goes on passing when the
# program is renamed or was never built, unless a line behind it says what stderr holds.
#
# Seen with github.com/rogpeppe/go-internal v1.16.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/rogpeppe/go-internal v1.16.0
MOD
cat >script_test.go <<'GO'
package finding

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestScripts(t *testing.T) { testscript.Run(t, testscript.Params{Dir: "testdata"}) }
GO
mkdir testdata
cat >testdata/refused.txtar <<'TXT'
! exec no-such-program --bad-flag
! stdout .
! exec ./no-such-path
! exec ./plain
-- plain --
text
TXT
cat >testdata/said.txtar <<'TXT'
! exec no-such-program --bad-flag
stderr 'unknown flag'
TXT
go mod tidy >/dev/null 2>&1
echo "github.com/rogpeppe/go-internal $(go list -m -f '{{.Version}}' github.com/rogpeppe/go-internal)"
go test -count=1 -run 'TestScripts/refused$' . || { echo "a program that is not there is no failure any more"; exit 1; }
! go test -count=1 -run 'TestScripts/said$' . >/dev/null || { echo "what stderr holds is not looked at"; exit 1; }
echo "three programs that were never run failed as expected; only a line about stderr tells"
