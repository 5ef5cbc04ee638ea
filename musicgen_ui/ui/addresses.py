"""From where on the network a request comes, as far as that tells people apart."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

_ONE_LINE = 64  # bits of an IPv6 address that one line of a provider's has to itself


def address_of(request: Any) -> str:
    """The address that `request` comes from, of IPv6 the network; "" where it tells nothing.

    `request.client` is the peer, or what a proxy says that uvicorn trusts: one on this machine, or those that
    FORWARDED_ALLOW_IPS names. An address of no use on the internet is of this machine, a home's network, or a proxy
    that hides who comes: a Space's, a container's.
    """
    try:
        address = ip_address(request.client.host)
    except (AttributeError, ValueError):
        return ""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if not address.is_global:
        return ""
    return str(ip_network((address, _ONE_LINE), strict=False) if address.version == 6 else address)
