module stack

go 1.21
