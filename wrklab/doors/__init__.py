"""The doors to the world: Ansible, ssh, the store. Whatever has effects on hosts or disk goes through one of them."""
