"""Warm kernels: a notebook's kernel, forked from a process that has torch imported already.

``zygote`` is that process, ``client`` starts and asks it, ``forked`` is a kernel that it forked,
``provisioner`` tells Jupyter about it.
Nothing here is needed to run a notebook: without it, Jupyter starts cold kernels.
"""
