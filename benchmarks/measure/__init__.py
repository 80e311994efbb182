"""What is measured around the generator: CPU and memory of processes, pgbench, the machine."""
