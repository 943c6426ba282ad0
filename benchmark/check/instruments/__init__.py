"""What looks at a method from outside: at the process, at objects, at files; and a device."""
