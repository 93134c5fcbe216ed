"""The words of which fingerprints of commands are made: a closed set of what vendors' commands share."""

from __future__ import annotations

from typing import Final


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What a command begins with.
VERBS: Final = _set(
    """
    show display get print list view more cat ls dir pwd diagnose monitor tail head grep find configure config
    edit set add delete remove create modify change update unset undo no default disable enable rollback commit
    discard abort apply save write copy rename move load export import archive exit end quit logout return top
    up run do execute exec request test debug undebug clear reset reload reboot restart start stop shutdown
    install upgrade activate deactivate switch ping traceroute tracert telnet ssh scp sftp ftp tftp curl wget
    dig nslookup terminal screen-length screen-width clipaging environment session page paging pager system sys
    mode sudo su bash shell start-shell cli vtysh zycli clish tmsh expert ip ipv6 interface interfaces vlan
    router route routing bridge mpls bgp ospf isis rip vrf acl access-list access-group access-class prefix-list
    route-map policy-map class-map object object-group username user users hostname banner line aaa tacacs
    tacacs-server radius radius-server snmp snmp-server snmp-agent ntp ntp-server logging syslog crypto key
    certificate license service feature boot clock spanning-tree lldp cdp switchport channel-group port-channel
    port ports mtu speed duplex description encapsulation neighbor network redistribute address-family name tool
    log file local-user super passwd password secret ifconfig netstat ss uptime uname df free ps lsmod dmesg
    lscpu lsblk dmidecode lspci mount systemctl journalctl ethtool iptables nft tcpdump arp hostnamectl nmcli
    iwlist date id whoami who last dpkg rpm apt apt-get yum admin cfg software chassis login console rstp
    failover fw fabric oam ont scroll iwconfig ansible docker kubectl nv net iw lldpctl echo test-policy
    fnsysctl
    """
)

# What may stand behind it.
NOUNS: Final = _set(
    """
    all brief detail details detailed summary terse extensive verbose extended full statistics counters count
    errors status state info information table tables database entries list active current running startup
    candidate running-config startup-config configuration config current-configuration saved-configuration
    compare changes terminal length width pager paging screen more without-paging no-more set display json xml
    text version inventory hardware chassis module modules platform board card cards fabric slot fan fans power
    psu supply environment temperature temperatures sensor sensors led cooling voltage alarm alarms uptime boot
    bootvar image images software firmware license licenses feature features patch package packages install
    tech-support tech cpu memory processes process utilization usage resource resources disk flash filesystem
    file files storage buffers interface interfaces ethernet gigabitethernet fastethernet tengigabitethernet
    loopback management tunnel vlan vlans port ports port-channel port-security transceiver transceivers optic
    optics optical media xcvr phy description switchport trunk bond lag lacp lag-group aggregate link
    link-aggregation etherchannel linkagg mlag vpc mac mac-address mac-address-table mac-addr-table
    address-table address addresses arp nd neighbor neighbors neighbour neighbours adjacency lldp cdp fdp isdp
    edp ndp remote remote-device local local-device spanning-tree stp rstp mst rep erps root bridge stack
    stack-power stacking switch switches member members ip ipv4 ipv6 route routes route-map router routing rib
    fib cef prefix prefix-list access-list access-lists acl access-group policy policy-map class-map qos queue
    queues shaping police rules rule filter filters firewall zone zones security nat xlate session sessions
    connection connections conn flow flows traffic policies bgp ospf ospf3 ospfv3 eigrp isis rip pim igmp mld
    mroute multicast msdp bfd vrrp hsrp standby glbp rsvp ldp mpls lsp vrf vrfs vdc vpn vpnv4 vpnv6 evpn l2vpn
    l2rib l3vpn vxlan vni nve vtep sr sdwan nhrp dmvpn unicast paths path peer peers peer-group group groups
    instance topology hostname hosts host name names domain dhcp dhcp-server pool pools lease leases binding
    bindings snooping relay helper helper-address dns ntp ptp clock time timezone date associations server
    servers client clients service services object objects object-group user users username account accounts
    login aaa authentication authorization accounting tacacs radius dot1x ssh telnet http https crypto ipsec ike
    ikev1 ikev2 isakmp sa sas certificate certificates key keys pki webvpn anyconnect vpn-sessiondb failover
    high-availability ha cluster redundancy redundant standby-state controller controllers cellular wireless
    wlan wlans ap aps radio rf mobility rogue bss client-status snmp snmp-server syslog log logs logging logfile
    archive history messages events event trace debugging monitor sflow netflow span mirror mirroring poe inline
    epm gpon epon ont olt onu optical-power line lines vty console voice voice-port call calls sip dial-peer sbc
    modem isdn dsl serial tunnel-group system admin context vsys virtual shell mode commit rollback check save
    replace exclusive private reload factory-default factory-reset get print add remove find enable disable
    disabled enabled default none on off up down in out begin include exclude section grep match last first
    except addr netns neigh iproute daemon-reload start stop restart password secret community community-list
    shared-key pre-shared-key key-string passphrase
    """
)

# What people abbreviate.
SHORT: Final = {
    "sh": "show",
    "sho": "show",
    "disp": "display",
    "dis": "display",
    "conf": "configure",
    "config": "configure",
    "t": "terminal",
    "term": "terminal",
    "wr": "write",
    "mem": "memory",
    "int": "interface",
    "ints": "interfaces",
    "run": "running-config",
    "start": "startup-config",
    "ver": "version",
    "inv": "inventory",
    "stat": "status",
    "desc": "description",
    "br": "brief",
    "sum": "summary",
    "det": "detail",
    "neigh": "neighbors",
    "nei": "neighbors",
    "en": "enable",
    "len": "length",
    "inc": "include",
    "incl": "include",
    "i": "include",
    "cur": "current-configuration",
    "curr": "current-configuration",
    "addr": "address",
    "auth": "authentication",
    "proc": "processes",
    "mac-addr": "mac-address",
    "ex": "exit",
}

# Behind these the rest of a command may be a credential, also when it looks like a word of ours.
SECRETIVE: Final = _set(
    """
    password passwd secret community shared-key pre-shared-key key-string key passphrase username user
    local-user super echo snmp-server snmp-agent tacacs-server radius-server login account accounts su
    """
)
