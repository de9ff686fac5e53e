"""The tests of the kit, a file for each part of the contract."""
