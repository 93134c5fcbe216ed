"""The forms in which devices show secrets, as data: written from the vendors' command references.

Every rule looks at the text as it came, so their order does not count, and none can hide a secret from another.
"""

from __future__ import annotations

from typing import Final

from sessionspan.devices.grammar import Rule

# One tuple a topic.

_SNMP: Final = (
    Rule(
        "any",
        ("auth",),
        r"({b}auth(?:entication)?(?:-protocol|-mode|-md5|-sha\w{0,4})?{sp}(?:hmac-)?(?:md5|sha)[\w-]{0,9}"
        r"(?:{sp}auth-(?:pass|password|key|encrypted))?{kind}{sp})(?!(?:priv|mode|key-chain|keyed){end}){secret}",
        (
            "snmp-server user monitor NETOPS v3 auth sha {secret} priv aes 128 0x9f8e7d6c",
            "snmp-server user admin network-admin auth md5 0x{secret} priv 0x1a2b3c4d localizedkey",
            "snmp-agent usm-user v3 ops authentication-mode sha cipher {secret}",
            'snmpv3 user "ops" auth sha "{secret}" priv aes "otherSecret"',
            "snmpv3 user ops auth sha auth-pass ciphertext {secret} priv aes priv-pass ciphertext other",
            "configure snmpv3 add user ops authentication md5 auth-encrypted localized-key {secret}",
        ),
    ),
    Rule(
        "any",
        ("priv",),
        r"({b}(?:priv(?:-protocol|-mode)?|privacy-(?:protocol|mode)|privacy(?={sp}(?:3des|des|aes)))(?:{sp}(?:3des|des|aes)(?:-?[\w-]{1,9}|{sp}(?:128|192|256))?"
        r"(?={sp}))?(?:{sp}(?:priv|privacy)-(?:pass|password|key|encrypted))?{kind}{sp})"
        r"(?!(?:exec|level|mode|configure|interface|protocol|passwords?){end}){secret}",
        (
            "snmp-server user monitor NETOPS v3 auth sha 0x9f8e7d6c priv aes 128 {secret}",
            "snmp-server user admin network-admin auth md5 0x1a2b3c4d priv 0x{secret} localizedkey",
            "snmp-agent usm-user v3 ops privacy-mode aes128 cipher {secret}",
            'snmpv3 user "ops" auth sha "otherSecret" priv aes "{secret}"',
            "snmpv3 user ops auth sha auth-pass ciphertext other priv aes priv-pass ciphertext {secret}",
        ),
    ),
    Rule(
        "any",
        ("snmp",),
        r"({b}snmp(?:-server|-agent)?(?:{words}){sp}(?:get-|set-|trap-|readonly-|readwrite-)?community"
        r"(?:-map|-name|-string)?(?:{sp}(?:add|create|set|map|read-only|read-write|readonly|readwrite|read|write|"
        r"ro|rw|trap|complexity-check))?{kind}{sp})(?!(?:complexity-check|disable|enable){end}){secret}",
        (
            "snmp-server community {secret} RO 10",
            "snmp-server community 7 {secret} ro",
            "snmp-server mib community-map {secret} context ctx1",
            "snmp-server host inside 192.0.2.10 community {secret} version 2c",
            "snmp-server get-community {secret}",
            "snmp-agent community read cipher {secret} acl 2000",
            'set snmp community "{secret}" Read-Only Trap-on traffic version v2c',
            "set service snmp community {secret} authorization ro",
            "set snmp community {secret} read-only",
            "config snmp community create {secret}",
            'snmp community map "{secret}" user "ops" on',
            "net add snmp-server readonly-community {secret} access any",
            "add snmp community {secret} ALL",
        ),
    ),
    Rule(
        "any",
        ("snmp",),
        r"({b}snmp-server{sp}host{sp}\S{1,64}(?:{sp}(?:informs?|traps?|version{sp}(?:1|2c|3{sp}(?:no)?auth|3{sp}priv)"
        r"|vrf{sp}\S{1,64}|udp-port{sp}[0-9]{1,5}|v1|v2c|community|use-vrf{sp}\S{1,64}|[0-9])(?={sp}\S))"
        r"{0,6}{sp}){secret}",
        (
            "snmp-server host 192.0.2.10 version 2c {secret}",
            "snmp-server host 192.0.2.10 traps version 2c {secret} udp-port 1162",
            "snmp-server host 192.0.2.10 vrf MGMT {secret} bgp",
            "snmp-server host 192.0.2.10 {secret}",
        ),
    ),
    Rule(
        "huawei_vrp",
        ("securityname",),
        r"({b}securityname{kind}{sp}){secret}",
        ("snmp-agent target-host trap address udp-domain 192.0.2.9 params securityname cipher {secret} v2c",),
    ),
    Rule(
        "juniper_junos",
        ("trap-group",),  # its name is the community of what it sends
        r"({b}trap-group{sp}){secret}",
        ('set snmp trap-group "{secret}" targets 192.0.2.9',),
    ),
    Rule(
        "juniper_junos",
        ("community",),
        r"({start}community{sp})[^\s{}]\S*(?=[ \t]*\{)",
        ("    community {secret} {",),
    ),
    Rule(
        "any",
        ("community",),
        r"({b}(?:snmp[-_ ]?(?:ro|rw)?community|(?:ro|rw)[-_ ]?community|community[ _-]?(?:name|string))[ \t]*"
        r"[:=][ \t]*){secret}",
        ("Community name: {secret}", 'snmp_community = "{secret}"', "ROCommunity: {secret}"),
    ),
    Rule(
        "zyxel_os",
        ("community",),  # numbers are communities of BGP
        r"({b}(?<!extended )(?<!large )community[ \t]*[:=][ \t]*)(?![0-9]{1,10}(?::[0-9]{1,10})?(?![^\s,;])|"
        r"(?:no-export|no-advertise|local-as|internet|gshut){end}){secret}",
        ("Get Community       : {secret}x",),
    ),
    Rule(
        "any",
        ("community-name", "community-string", "communityname"),
        r"({b}(?:snmp-)?community-?(?:name|string){kind}{sp}){secret}",
        (
            "        community-name {secret}",
            "set deviceconfig system snmp-setting access-setting version v2c snmp-community-string {secret}",
            "snmp create community-index t1 community-name {secret}",
        ),
    ),
    Rule(
        "linux",
        ("rocommunity", "rwcommunity", "com2sec", "createuser"),
        r"({b}(?:r[ow]community6?|com2sec6?{sp}\S{1,64}{sp}\S{1,64}|createuser{sp}\S{1,64}{sp}(?:md5|sha)\S{0,6})"
        r"{sp}){secret}",
        (
            "rocommunity {secret} 192.0.2.0/24",
            "com2sec readonly default {secret}",
            'createUser ops SHA "{secret}" AES "other"',
        ),
    ),
    Rule(
        "linux",
        ("createuser",),
        r"({b}createuser{sp}\S{1,64}{sp}(?:md5|sha)\S{0,6}{sp}\S{1,128}{sp}(?:des|aes)\S{0,6}{sp}){secret}",
        ("createUser ops SHA other AES {secret}",),
    ),
    Rule(
        "linux",
        ("snmpwalk", "snmpget", "snmpbulk", "snmpset", "snmptrap", "snmpinform", "snmptable", "snmpstatus"),
        r"((?<!\S)(?-i:-[cAX]){sp}?)(?!-){secret}",
        (
            "snmpwalk -v2c -c {secret} 192.0.2.1 sysDescr",
            "snmpget -v3 -u ops -l authPriv -a SHA -A {secret} -x AES -X other 192.0.2.1",
            "snmpget -v3 -u ops -l authPriv -a SHA -A other -x AES -X {secret} 192.0.2.1",
        ),
    ),
    Rule(
        "zyxel_os",
        ("-community",),
        r"({b}(?:get|set|trap)-community{kind}{sp}){secret}",
        ("snmp-server get-community other set-community {secret} trap-community other",),
    ),
    Rule(
        "nokia_sros",
        ("community",),
        r'({b}community{sp})"[^"\r\n]{1,256}"(?={sp}hash2?\b)',
        ('            community "{secret}" hash2 access-permissions r version v2c',),
    ),
    Rule(
        "extreme_exos",
        ("snmp",),
        r"({b}snmp(?:v3)?{sp}add{sp}community(?:{sp}(?:readonly|readwrite))?{kind}{sp}){secret}",
        ("configure snmp add community readonly {secret}", 'configure snmpv3 add community "{secret}" name "x"'),
    ),
)

_LOGINS: Final = (
    Rule(
        "any",
        ("username", "-user", "user-name", "mgmtuser", "netuser", "local-userdb"),
        r"({b}(?:username|local-user|mgmt-user|user-name|system-user|mgmtuser|netuser|local-userdb|sent-username)"
        r"(?:{words}){sp}(?:[\w-]{0,24}-)?(?:password|passwd|secret|pwd){kind}{sp}){secret}",
        (
            "username admin privilege 15 secret 9 {secret}",
            "username ops password 7 {secret}",
            "username ops role network-admin secret sha512 {secret}",
            "username admin password {secret} encrypted privilege 15",
            "username ops password required-{secret}",
            "local-user ops password irreversible-cipher {secret}",
            "ap dot1x username ops password 0 {secret}",
            "ppp pap sent-username ops password 7 {secret}",
        ),
    ),
    Rule(
        "any",
        ("user", "account", "admin", "login"),
        r"({b}(?:user|account|admin|administrator|login)(?:{words}){sp}(?:[\w-]{0,24}-)?(?:password|passwd|secret|"
        r"pwd)(?:-hash)?{kind}{sp}){talk}{secret}",
        (
            "user ops group administrators password ciphertext {secret}",
            'set admin user "ops" password "{secret}" privilege "all"',
            "set user ops password-hash {secret}",
            "create auth user ops password {secret}",
        ),
    ),
    Rule(
        "any",
        ("enable", "super"),
        r"({b}(?:enable|super)(?:{sp}(?:super-user-|port-config-|read-only-|telnet{sp})?(?:secret|password|passwd)|-password)"
        r"{kind}{sp}){secret}",
        (
            "enable secret 5 {secret}",
            "enable password level 7 {secret}",
            "enable password {secret} pbkdf2",
            "super password level 3 cipher {secret}",
            "super password role network-admin hash {secret}",
            "enable super-user-password 8 {secret}",
            "enable-password encrypted {secret}",
            "enable telnet password {secret}",
        ),
    ),
    Rule(
        "aruba_os",
        ("enable secret", "mgmt-user"),
        r"({start}(?:enable{sp}secret|mgmt-user{sp}\S{1,64}{sp}\S{1,64}){sp})(?![0-9]{sp}|sha512{sp}|level{sp}){secret}",
        ("mgmt-user admin root {secret}", "enable secret {secret}"),
    ),
    Rule(
        "cisco_wlc",
        ("mgmtuser", "netuser"),
        r"({b}(?:mgmtuser|netuser){sp}(?:add|password){sp}\S{1,64}{sp}){secret}",
        ("config mgmtuser add ops {secret} read-write", "config netuser password ops {secret}"),
    ),
    Rule(
        "extreme_exos",
        ("account",),
        r"({b}(?:create|configure){sp}account{sp}(?:(?:admin|user|lawful-intercept)(?:{sp}\S{1,64})?|\S{1,64})"
        r"{sp}(?:encrypted{sp})?){alone}{secret}",
        (
            'create account admin ops encrypted "{secret}"',
            "create account user ops {secret}",
            "configure account admin encrypted {secret}",
        ),
    ),
    Rule(
        "ubiquiti_edgeswitch",
        ("users passwd",),
        r"({b}users{sp}passwd{sp}\S{1,64}{sp}(?:encrypted{sp})?){secret}",
        ("users passwd ops encrypted {secret}",),
    ),
    Rule(
        "citrix_netscaler",
        ("system user",),
        r"({b}(?:add|set){sp}system{sp}user{sp}\S{1,64}{sp}){secret}",
        ("add system user ops {secret} -encrypted -hashmethod SHA512",),
    ),
    Rule(
        "yamaha",
        ("login user", "auth myname", "auth username"),
        r"((?:{start}login{sp}user|{b}auth{sp}(?:myname|username)){sp}\S{1,64}{sp}(?:encrypted{sp})?){secret}",
        ("login user ops {secret}", "pp auth myname ops {secret}", "pp auth username ops {secret}"),
    ),
    Rule(
        "linux",
        (":$",),  # /etc/shadow
        r"({start}[a-z_][\w.-]{0,31}:)[$!*][^\s:]{3,}",
        ("root:$6${secret}:19000:0:99999:7:::",),
    ),
)

_KEYS: Final = (
    Rule(
        "any",
        ("key", "secret", "phrase", "psk", "preshare"),
        r"({b}(?:[\w-]{0,24}-)?(?:pre-?shared?(?:-?(?:key|secret))?|shared-?(?:key|secret)|server-key|key-?string|"
        r"key-octet-string|authentication-key|auth-key|encryption-key|encrypted-key|session-key|message-digest-key|"
        r"md5-key|hash-key|secret-key|private-key|master-key|pac-key|radkey|tacacssecret|dynamic-author-key|"
        r"authentication-keyid|shared-secret|chap-secret|psksecret|psk-secret|sha1-key|tcp-md5-key|ike-key|"
        r"pass-?phrase|wpa-passphrase|wpa2?-psk|psk|wpa-hexkey|wep-key[0-9]?|hexkey|fixed-key|enckey|authkey|set-key)"
        r"(?:{sp}(?:address(?:{sp}ipv6)?|hostname|peer|host|fqdn|user-fqdn|any|id){sp}\S{1,128}"
        r"(?:{sp}[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?={sp}(?:key|cipher|simple)))?"
        r"(?:{sp}[0-9]{1,5}(?={sp}(?:md5|sha|hmac|aes|cmac|type|authentication-mode|text|key)))?"
        r"(?:{sp}authentication-mode)?{kind}{sp})"
        r"(?!(?:lifetime|length|id|chain|exchange|type|size|authentication|is|not|and|or|for|required|mode|"
        r"method|file|from|encryption|algorithm|enabled?|disabled?|generation|management|pair|vrf){end})"
        r"{secret}",
        (
            "  key-string 7 {secret}",
            "  key-string password {secret}",
            " ip ospf authentication-key 7 {secret}",
            " ip ospf message-digest-key 1 md5 7 {secret}",
            "ntp authentication-key 10 md5 {secret} 7",
            "ntp-service authentication-keyid 1 authentication-mode md5 cipher {secret}",
            "pre-shared-key address 192.0.2.1 key 6 {secret}",
            "pre-shared-key address 192.0.2.1 255.255.255.255 key {secret}",
            " ikev1 pre-shared-key {secret}",
            "ikev2 remote-authentication pre-shared-key {secret}",
            "  client 192.0.2.1 server-key 7 {secret}",
            'set security ike policy P pre-shared-key ascii-text "{secret}"',
            'set ike gateway "gw" address 192.0.2.1 preshare "{secret}"',
            "ipsec ike pre-shared-key 1 text {secret}",
            " wpa-passphrase {secret}",
            "security wpa psk set-key ascii 0 {secret} pairwise",
            "radius-server shared-key cipher {secret}",
            'configure radius primary shared-secret encrypted "{secret}"',
            "set vpn ipsec site-to-site peer 192.0.2.1 authentication pre-shared-secret '{secret}'",
            "set passphrase ENC {secret}",
            "set interfaces wireguard wg0 private-key {secret}",
            'authentication-key "{secret}" hash2',
            "set protocols ospf area 0 authentication md5 key-id 1 md5-key {secret}",
        ),
    ),
    Rule(
        "any",
        ("key",),
        r"({b}(?:tacacs|radius|tacplus|hwtacacs|ldap|aaa|server|server-private|client|ntp|isakmp|isakmp6|map-server|"
        r"map-resolver|primary|secondary|proxy-mobile|host|failover|encryption|crypto-local|neighbor|nbma|service|"
        r"api|ike|auth|authentication|accounting|authorization|md5|hmac|sha|sha1|sha256|cmac|aes)[\w+-]{0,24}"
        r"(?:{words}){sp}key(?:{sp}[0-9]{1,2}{sp}size{sp}\S{1,16})?{kind}{sp})"
        r"(?!(?:generate|zeroize|export|import|storage|mypubkey|pubkey-chain|decrypt|encrypt|chain|id|length|"
        r"exchange|size|lifetime|is|not|and|or|for|required|file|from|type|name|pair|usage|data|index|agreement|"
        r"management|server|was|has|lookup|value|found|config-key|must|to|in|of|with|switching|rotation|interval)"
        r"{end}|[-+=*|_]+(?:\s|$))"
        r"{secret}",
        (
            "tacacs-server key 7 {secret}",
            "tacacs-server host 192.0.2.1 port 49 key 7 {secret}",
            "radius-server host 192.0.2.1 auth-port 1812 acct-port 1813 key {secret}",
            " server-private 192.0.2.1 key 6 {secret}",
            "crypto isakmp key {secret} address 192.0.2.1",
            "crypto isakmp key 6 {secret} address 0.0.0.0",
            "crypto-local isakmp key {secret} fqdn-any",
            " ipv4 etr map-server 192.0.2.1 key 7 {secret}",
            "failover key {secret}",
            " primary authentication 192.0.2.1 key cipher {secret}",
            'md5 10 key "{secret}"',
            "encryption key 1 size 128bit 7 {secret} transmit-key",
            "set system login radius server 192.0.2.1 key {secret}",
            'tacacs-server host 192.0.2.1 key "{secret}"',
            'aaa radius-server "r1" host 192.0.2.1 key {secret}',
            "set aaa tacacs-servers priority 1 server 192.0.2.1 key {secret}",
        ),
    ),
    Rule(
        "any",
        ("key",),
        r"({start}(?:no{sp})?(?:[0-9]{1,4}{sp})?key(?:{sp}(?:authentication|accounting|authorization))?{kind}{sp})"
        r"(?![0-9]{1,4}[ \t\r]*$|(?:chain|config-key|generate|name|type|id|size|length|value|data|exchange|"
        r"derivation|usage|index|lifetime|file|pair|algorithm|server){end}){alone}{secret}",
        (
            "  key 7 {secret}",
            " key {secret}",
            " key authentication simple {secret}",
            "  key 6 {secret}",
            ' key "{secret}"',
            "rtr1(config-sg)#key {secret}",
        ),
    ),
    Rule(
        "arista_eos",
        ("key", "secret"),
        r"({start}(?:key{sp}\S{1,64}|key{sp}[0-9]{1,5}{sp}secret|secret)(?:{sp}(?:[0-9]{1,5}(?={sp}7{sp})|0|7|8a)){1,2}{sp}){secret}",
        (
            "   key 0abc1234 7 {secret}",
            "   key 1 secret 7 {secret}",
            "   secret 0 7 {secret} receive-lifetime infinite",
        ),
    ),
    Rule(
        "any",
        ("secret",),
        r"({b}(?:[\w-]{0,24}-)?secret{kind}{sp}){talk}{secret}",
        (
            "   secret 10 {secret}",
            ' secret "{secret}";',
            "add aaa radius-servers priority 1 host 192.0.2.1 port 1812 secret {secret}",
            "set shared server-profile radius r1 server s1 secret {secret}",
            " parser view ops secret 5 {secret}",
            "tacacs set secret {secret}",
        ),
    ),
    Rule(
        "cisco_wlc",
        ("auth add", "acct add"),
        r"({b}(?:auth|acct){sp}add{sp}[0-9]{1,3}{sp}\S{1,64}{sp}[0-9]{1,5}{sp}(?:ascii|hex){sp}){secret}",
        ("config radius auth add 1 192.0.2.1 1812 ascii {secret}",),
    ),
    Rule(
        "cisco_ios",
        ("text",),  # show key chain
        r"(--{sp}text{sp}){secret}",
        ('        key 1 -- text "{secret}"',),
    ),
    Rule(
        "any",
        ("authentication", "auth-type", "simple-text"),
        r"({b}(?:authentication(?:{sp}mode)?|auth-type)(?:{sp}(?:text|string|simple-text-auth|simple-text|simple-password|"
        r"md5{sp}key-string|hmac-sha-256|simple|nhrp))(?![\w-]){kind}{sp})(?!(?:key-chain|mode){end}){secret}",
        (
            " vrrp 1 authentication text {secret}",
            " standby 1 authentication md5 key-string 7 {secret}",
            " ip rip authentication string {secret}",
            "  authentication mode hmac-sha-256 7 {secret}",
            " ip vrrp auth-type simple-text-auth {secret}",
            "configure vrrp vlan v1 vrid 1 authentication simple-password {secret}",
        ),
    ),
    Rule(
        "cisco_ios",
        ("standby", "glbp", "vrrp", "nhrp"),
        r"({b}(?:(?:standby|glbp|vrrp)(?:{sp}[0-9]{1,4})?|nhrp){sp}authentication{sp}(?:[0-7]{sp})?)"
        r"(?!(?:md5|text)(?:{sp}|$)){secret}",
        (" standby 1 authentication {secret}", " ip nhrp authentication {secret}"),
    ),
    Rule(
        "huawei_vrp",
        ("authentication-mode", "auth-mode"),
        r"({b}[\w-]{0,24}auth(?:entication)?-mode{sp}(?:md5|hmac-[\w-]{1,16}|simple|keychain|sha\S{0,6})"
        r"(?:{sp}(?:nonstandard|usual|rfc\S{1,8}|[0-9]{1,5}(?={sp}\S)))?{kind}{sp})(?!privacy-mode{end}){secret}",
        (
            " ospf authentication-mode md5 1 cipher {secret}",
            " area-authentication-mode md5 cipher {secret}",
            " vrrp vrid 1 authentication-mode md5 {secret}",
            " authentication-mode simple cipher {secret}",
        ),
    ),
    Rule(
        "huawei_vrp",
        ("md5-password", "cipher"),
        r"({b}(?:md5-password|password|key){sp}(?:plain|cipher|simple){sp}[0-9.]{7,15}{sp}){secret}",
        (" md5-password cipher 192.0.2.1 {secret}",),
    ),
    Rule(
        "any",
        ("cipher ", "ciphertext"),
        r"({b}(?:irreversible-cipher|cipher|ciphertext){sp})"
        r"(?!(?:suites?|list|specs?|block|string|name|used|is|and|or|mode|strength|keys?|algorithms?|order|in|for)"
        r"{end})(?=\S*[0-9%$^@#!&*+])(?!(?:aes|des|3des|null|blowfish|chacha|arcfour|rc4|tls|ssl|ecdhe|dhe|camellia)\S*)"
        r"{secret}",
        (" set authentication password cipher {secret}", " key-string cipher {secret}"),
    ),
    Rule(
        "cisco_ios",
        ("session-key",),
        r"({b}session-key{sp}(?:in|out)bound{sp}(?:ah{sp}[0-9]{1,10}|esp{sp}[0-9]{1,10}(?:{sp}cipher)?"
        r"(?:{sp}\S{1,128}{sp}authenticator)?){sp})(?!cipher{sp}){secret}",
        (
            " set session-key inbound esp 256 cipher 0a1b2c authenticator {secret}",
            " set session-key outbound ah 1000 {secret}",
        ),
    ),
    Rule(
        "cisco_ios",
        ("session-key",),
        r"({b}session-key{sp}(?:in|out)bound{sp}esp{sp}[0-9]{1,10}{sp}cipher{sp}){secret}",
        (" set session-key inbound esp 256 cipher {secret} authenticator 0a1b2c",),
    ),
    Rule(
        "cisco_ios",
        ("config-key",),
        r"({b}key{sp}config-key{sp}(?:password-encrypt|newpass|[0-9])?{sp}){secret}",
        ("key config-key password-encrypt {secret}",),
    ),
    Rule(
        "cisco_asa",
        ("aaa-server",),
        r"({b}aaa-server{sp}\S{1,64}(?:{sp}\(\S{1,64}\))?{sp}host{sp}\S{1,64}{sp})(?!key{end}|timeout{end}){secret}",
        ("aaa-server RAD (inside) host 192.0.2.1 {secret} timeout 5",),
    ),
    Rule(
        "arista_eos",
        ("auth=",),  # TerminAttr
        r"({b}-?(?:cv|ingest)auth=(?:key|token|token-secure)?,?)[^\s,]+",
        ("   exec /usr/bin/TerminAttr -cvaddr=192.0.2.1:9910 -ingestauth=key,{secret} -cvvrf=MGMT",),
    ),
    Rule(
        "aruba_os",
        ("masterip", "conductorip"),
        r"({b}(?:masterip|conductorip){sp}\S{1,64}{sp}ipsec{sp}){secret}",
        ("masterip 192.0.2.1 ipsec {secret} interface vlan 1",),
    ),
    Rule(
        "cisco_ios",
        ("idtoken", "token"),
        r"({b}(?:id)?token{sp})(?!(?:ring|bucket|is|has|was|rate){end})(?=\S{16}){secret}",
        ("license smart register idtoken {secret}{secret}",),
    ),
    Rule(
        "fortinet",
        ("set ",),
        r"({b}set{sp}(?:[\w-]{0,24}-)?(?:password|passwd|pwd|psksecret|secret|passphrase|key|psk|token|authkey|"
        r"enckey|apikey|api-key|seed|sae-password|login-passwd|ppk-secret|md5-key)[0-9]?{kind}{sp})"
        r"(?![0-9]{1,4}[ \t\r]*$|(?:enable|disable)[ \t\r]*$){alone}{secret}",
        (
            "        set password ENC {secret}",
            "        set psksecret ENC {secret}",
            "        set passwd {secret}",
            "        set auth-pwd ENC {secret}",
            "    set key ENC {secret}",
            "        set api-key ENC {secret}",
        ),
    ),
    Rule(
        "fortinet",
        ("enc ",),
        r"({b}ENC{sp})[A-Za-z0-9+/=]{8,}",
        ("set something-new ENC {secret}{secret}",),
    ),
)

_PASSWORDS: Final = (
    Rule(
        "any",
        ("neighbor", "peer", "group"),
        r"({b}(?:neighbor|peer|peer-group|group){sp}\S{1,64}(?:{sp}\S{1,64}){0,2}?{sp}(?:tcp-)?(?:password|md5-password|"
        r"authentication-key|auth-password){kind}{sp}){secret}",
        (
            " neighbor 192.0.2.1 password 7 {secret}",
            " peer 192.0.2.1 password cipher {secret}",
            "set protocols bgp neighbor 192.0.2.1 password {secret}",
            "mpls ldp neighbor 192.0.2.1 password {secret}",
        ),
    ),
    Rule(
        "any",
        ("pass", "pwd", "hash", "bind-pw", "-pw"),
        r"({b}(?:encrypted-password|plain-?text-password(?:-value)?|simple-password|area-password|domain-password|"
        r"hello-password|lsp-password|ldap-login-password|bind-password|bind-pw|radius-common-pw|phash|password-hash|"
        r"expert-password-hash|admin-password|authentication-password|privacy-password|auth-pass(?:word)?|"
        r"priv-pass(?:word)?|auth-pass-phrase(?:-hashed)?|privacy-pass-phrase(?:-hashed)?|pap-password|key-hash|"
        r"ldap-bind-password|auth_pass|md5-password|sae-password|private-key-password|auth-pwd|priv-pwd|user-password|"
        r"isis{sp}password|chap{sp}password|passwd){kind}{sp})(?!(?:server|program|utility|command){end}){talk}"
        r"{secret}",
        (
            'encrypted-password "{secret}"; ## SECRET-DATA',
            "set system root-authentication encrypted-password {secret}",
            "set system login user ops authentication plaintext-password '{secret}'",
            " isis password {secret} level-2",
            " area-password md5 {secret}",
            " domain-password clear {secret}",
            "  hello-password hmac-md5 encrypted {secret}",
            " ldap-login-password {secret}",
            "passwd {secret} encrypted",
            " ppp chap password 7 {secret}",
            "set expert-password-hash {secret}",
            "    auth_pass {secret}",
            "set mgt-config users ops phash {secret}",
        ),
    ),
    Rule(
        "any",
        ("password",),
        r"({b}(?:server|ftp|http|client|proxy|vpdn|l2tp|tunnel|sxp|cts|pap|chap|ldap|bind|smtp|telnet|console|vty|"
        r"archive|credentials?|profile|pppoe|manager|operator|port-access|wlccp|authenticate|root-dn|sent-username|"
        r"set|ldp|template|bgp|default|trustpoint|security)"
        r"(?:{words}){sp}password(?:{sp}(?:required|option{sp}[0-9]{1,5}{sp}for{sp}\S{1,64}))?{kind}{sp})"
        r"{talk}{secret}",
        (
            "ip ftp password 7 {secret}",
            " l2tp tunnel password 7 {secret}",
            "cts sxp default password 7 {secret}",
            "vpdn username ops password {secret}",
            "set interfaces ethernet eth0 pppoe 0 password {secret}",
            "set authentication password cipher {secret}",
            "mpls ldp password option 1 for 10 7 {secret}",
        ),
    ),
    Rule(
        "hp_procurve",
        ("password ",),
        r"({b}password{sp}(?:manager|operator|port-access|all){sp}(?:user-name{sp}{word}{sp})?"
        r"(?:plaintext|sha1|sha-256){sp}){secret}",
        (
            'password manager user-name "ops" plaintext {secret}',
            'password manager sha1 "{secret}"',
        ),
    ),
    Rule(
        "any",
        ("password",),
        r"({start}(?:(?:login|administrator){sp})?password{kind}{sp}){talk}{secret}",
        (
            " password {secret}",
            " password 7 {secret}",
            "administrator password {secret}",
            "password encrypted {secret}",
        ),
    ),
    Rule(
        "any",
        ("password", "passphrase"),
        r"({b}(?:password|passphrase)(?:{sp}(?:[0-9]|1[0-5]|cipher|hash|simple|encrypted|irreversible-cipher|ciphertext|"
        r"plaintext|sha512|sha256|md5|clear))+?{sp})(?=\S{6}){secret}",
        ("   password encrypted {secret}", " password simple {secret}", " password hash {secret}"),
    ),
    Rule(
        "any",
        ("password",),
        r"({b}password{sp}){talk}(?=[^\s]*[0-9$%&@!#*^+=])(?![0-9]{1,3}[.,:;)]?(?:\s|$)){secret}",
        ("no idea what this is password {secret}1",),
    ),
)

_SHARED_FORMS: Final = (
    Rule(
        "any",
        ("pass", "secret", "psk", "key", "community", "pwd"),
        r"((?P<q>[\"'])[\w.-]{0,32}(?:{named}|token|pwd)[\w.-]{0,16}(?P=q)[ \t]*(?::|=>|=)[ \t]*)"
        r"(?:\"(?:[^\"\\\r\n]|\\.)*\"?|'(?:[^'\\\r\n]|\\.)*'?|[^\s,}\]]+)",
        ('{"name": "ops", "password": "{secret}"}', "{'enable_secret': '{secret}'}", '"presharedKey":"{secret}"'),
    ),
    Rule(
        "any",
        ("<",),
        r"(<(?:[\w.-]{0,24}[-_.:])?(?:{named}|key|phash|token|authpwd|privpwd|password-hash|community)"
        r"(?:-(?:hash|value|text|data))?(?:[ \t][^<>\r\n]{0,200})?>)[^<\r\n]+",
        (
            "<phash>{secret}</phash>",
            "<pre-shared-key><key>{secret}</key></pre-shared-key>",
            '<nc:password junos:changed="changed">{secret}</nc:password>',
        ),
    ),
    Rule(
        "any",
        ("pass", "secret", "psk", "key", "community", "pwd", "token"),
        r"((?:{named}|(?<![a-z])pwd(?![ \t]*=[ \t]*/)|md5[-_]?key|"
        r"ipsec[-_]?secret|[-_]token|(?<![a-z])token|wep[-_]?key\d?|(?<![a-z])pass(?=[ \t]*[:=]))"
        r"(?:[-_]?(?:hash|key|text|value|string|encrypted|[0-9]{1,2}))?[ \t]*(?::|=>|:=|=)[ \t]*)"
        r"(?!(?:yes|no|not|set|unset|none|enabled?|disabled?|true|false|required|optional|configured|\(?null\)?|n/a|"
        r"<not|default|never){end}|[<>=]{1,2}[ \t])"
        r"{secret}",
        (
            "/user add name=ops group=full password={secret}",
            "wpa2-pre-shared-key={secret}",
            "  wpa_passphrase={secret}",
            'set psk="{secret}"',
            "export DB_PASSWORD={secret}",
            "PrivateKey = {secret}",
            "Password: {secret}",
            "set authentication-key={secret}",
        ),
    ),
    Rule(
        "any",
        ("-",),
        r"((?<![\w-])--?[\w-]{0,32}?(?:password|passwd|passphrase|secret|token|radkey|tacacssecret|psk|bindpw|"
        r"http-password|pwd|pw|auth-key|api-key|apikey)(?:[ \t]+|=))(?!-){secret}",
        (
            "add authentication ldapAction a1 -serverIP 192.0.2.1 -ldapBindDnPassword {secret} -encrypted",
            "mysqldump --password={secret} db",
            "add radiusAction r1 -radKey {secret}",
            "tool --api-key {secret}",
        ),
    ),
    Rule(
        "linux",
        ("mysql", "sshpass", "ipmitool", "curl", "wget", "ldap", "smbclient", "htpasswd", "openssl"),
        r"({b}(?:mysql\w{0,8}\b[^\r\n|;]{0,200}?{sp}-p|sshpass{sp}-p{sp}?|ipmitool\b[^\r\n|;]{0,200}?{sp}-P{sp}?|"
        r"curl\b[^\r\n|;]{0,200}?{sp}(?:-u|--user){sp}?[^\s:]{0,64}:|ldap\w{1,8}\b[^\r\n|;]{0,200}?{sp}-w{sp}?|"
        r"smbclient\b[^\r\n|;]{0,200}?{sp}-U{sp}?[^\s%]{1,64}%|htpasswd\b[^\r\n|;]{0,100}?{sp}-\w{0,4}b\w{0,4}{sp}"
        r"\S{1,128}{sp}\S{1,64}{sp}|openssl{sp}passwd(?:{sp}-\w{1,8}){0,3}{sp}))(?![ \t-]){secret}",
        (
            "mysql -u root -p{secret} db",
            "sshpass -p {secret} ssh ops@192.0.2.1",
            "ipmitool -I lanplus -H 192.0.2.1 -U ADMIN -P {secret} power status",
            "curl -k -u ops:{secret} https://192.0.2.1/api",
            "ldapsearch -x -D cn=ops -w {secret} -b dc=example",
        ),
    ),
    Rule(
        "linux",
        ("echo", "printf"),
        r"({b}(?:echo|printf)(?:{sp}-[neE]{1,3})?{sp})[^\r\n|]{1,256}(?=\|[ \t]*(?:sudo\b[^\r\n|]{0,64}-\w{0,8}S|"
        r"chpasswd|"
        r"passwd|sudo{sp}(?:chpasswd|passwd)|su\b|openssl{sp}\w|wpa_passphrase))",
        ("echo {secret} | sudo -S systemctl restart frr", "echo 'ops:{secret}' | chpasswd"),
    ),
    Rule(
        "linux",
        ("<<<", "wpa_passphrase"),
        r"(<<<[ \t]*|{b}wpa_passphrase{sp}{word}{sp}){secret}",
        ("sudo -S id <<< {secret}", "wpa_passphrase lab {secret}"),
    ),
    Rule(
        "any",
        ("://",),
        r"(://[^\s/:@]{0,64}:)(?![0-9]{1,5}(?:[/?#\s]|$))\S{1,128}(?=@)",
        ("copy running-config ftp://ops:{secret}@192.0.2.1/rtr1.cfg", "http-proxy http://u:{secret}@proxy:3128"),
    ),
    Rule(
        "any",
        ("://",),
        r"(://)[^\s/:@]{20,128}(?=@)",
        ("url = https://{secret}{secret}{secret}@git.example.com/x.git",),
    ),
    Rule(
        "any",
        ("?", "&"),
        r"([?&](?:key|token|api_?key|password|passwd|pwd|secret|access_token|auth)=)[^\s&\"'<>]+",
        ("https://192.0.2.1/api/?type=op&key={secret}&cmd=x",),
    ),
    Rule(
        "any",
        ("authorization", "bearer", "x-auth-token", "x-api-key", "cookie"),
        r"({b}(?:authorization[\"']?[ \t]*[:=][ \t]*[\"']?(?:(?:basic|bearer|digest|token|apikey){sp})?|"
        r"bearer{sp}(?=[\w.~+/=-]{8})|"
        r"x-(?:auth-token|api-key)[\"']?[ \t]*:[ \t]*|(?:set-)?cookie:[ \t]*)){secret}",
        ("Authorization: Basic {secret}", "-H 'X-Auth-Token: {secret}'", "set-cookie: SID={secret}; Path=/"),
    ),
    Rule("any", ("eyj",), r"{b}eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]{0,2048})?", ()),
    Rule(
        "any",
        ("$",),
        r"(?<![\w$])\$(?:{hash})\$[./A-Za-z0-9$+=,_-]{4,}",
        ('"$9${secret}"', "root $6$salt${secret}", "foo $14$ab${secret} bar", "x $2b$12${secret}"),
    ),
    Rule(
        "huawei_vrp",
        ("%", "$c$"),
        r"(?<!\S)(?:%\^%#|%\$%\$|%@%@|@%@%|%#%#|%\+%#|\$c\$3\$)\S{8,}",
        ("shared-key %^%#{secret}%^%#", "x %$%${secret}%$%$"),
    ),
    Rule("paloalto_panos", ("-aq==",), r"-AQ==[A-Za-z0-9+/=]{8,}", ("key -AQ=={secret}{secret}",)),
)

TABLE: Final = (*_SNMP, *_LOGINS, *_KEYS, *_PASSWORDS, *_SHARED_FORMS)
