"""What `crystallize plugins new` writes: a distribution, made of templates and of the specifications of the hooks."""
