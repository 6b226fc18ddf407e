# All that this project can show on Windows; see .ci/windows. It was not run yet.
Set-Location (Join-Path $PSScriptRoot '..')
go run ./.ci/windows @args
exit $LASTEXITCODE
