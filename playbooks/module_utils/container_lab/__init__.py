"""What the container lab's Ansible modules do on the controller: plan, base file system, network, nodes.

The modules in playbooks/library/ are thin; tests import this package as plain Python.
"""
