import assert from 'node:assert/strict';
import { checkOptions } from '../../src/network/check-options.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import { OptionsError } from '../../src/network/option-problem.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { DEFAULT_NETWORK, UNIQUE_LOCAL } from './default-config.ts';

/** What a JavaScript caller may pass. */
const check = (options: object | null | undefined): unknown =>
  Reflect.apply(checkOptions, undefined, [options]);

function complaint(options: object | null): OptionsError {
  try {
    check(options);
  } catch (error) {
    assert.ok(error instanceof OptionsError, String(error));
    return error;
  }
  return assert.fail('accepted');
}

const itself: unknown[] = [];
itself.push(itself);

describe('network/options', () => {
  it('of nothing are the defaults: no link, no file', () =>
    assert.deepEqual(check({}), DEFAULT_NETWORK));
  it('that are undefined are not set', () =>
    assert.deepEqual(
      check({ mtu: undefined, hostIp: undefined, listen: undefined }),
      DEFAULT_NETWORK,
    ));

  it('take every key, and one value for a list', () => {
    const options: Required<NetworkOptions> = {
      listen: 'tap:hawser0@guest',
      subnet: '10.1.0.0/16',
      gateway: '10.1.0.2',
      gatewayMac: '52-54-00-00-00-01',
      hostIp: 'none',
      subnet6: '2001:DB8:0:1::/64',
      gateway6: '2001:DB8:0:1:0::2',
      ipv6: true,
      ipv6Mode: 'dhcp',
      nat64: 'on',
      nat64Private: true,
      ipv6Mostly: true,
      mtu: 9_000,
      publish: ['8080:80', '127.0.0.1:5300-5301:10.1.0.9:53-54/udp'],
      sourceAddress: 'gateway',
      keepalive: 7,
      outboundAddress: ['192.0.2.7', '2001:DB8::7'],
      guestApi: true,
      guestApiBind: '*:8080',
      mux: 'guest:4099',
      muxAllow: ['tcp:127.0.0.1:22'],
      dns: ['9.9.9.9', '::1#5353'],
      dnsDomain: ['Corp.Example.=tls://10.1.2.3#ns.corp.example', 'corp.example=10.1.2.4'],
      dnsServer: 'on',
      dnsAddress: ['10.1.0.3', '2001:DB8:0:1::3'],
      dnsFamily: '6',
      dnsCanaries: true,
      dnsOther: 'refuse',
      dnsSearch: 'Corp.Example.',
      dnsZone: ['apps.example=10.1.0.7', 'Apps.Example=fd12::7'],
      hosts: '/etc/hosts',
      resolvConf: '/etc/resolv.vpn',
      leaseFile: 'leases.json',
      dhcpRange: '10.1.0.10-10.1.1.20',
      staticLease: '52-54-00-12-34-56=10.1.0.10,Build,qemu:/run/a,b.sock',
      wsOrigin: 'https://vm.example',
      socketMode: '0660',
      policy: '/tmp/policy.yaml',
      allow: '*.example.com:443/tcp',
      deny: ['10.0.0.0/8'],
      upstreamProxy: ['socks5h://proxy.example:1080', 'env'],
      proxyExclude: '10.0.0.0/8,.corp.example',
      proxyAuthFile: 'proxy.txt',
      proxyUnnamed: 'direct',
      proxyNames: 'host',
      isolateGuests: true,
      trustGuests: false,
      allowAddress: ['tap:hawser0@guest=10.1.0.99', 'vm=52-54-00-12-34-56'],
      hostAccess: false,
      allowMetadata: true,
      vhostMemory: 'any',
      verifyChecksums: false,
      busyPoll: 50,
      linkGrace: 5,
      vpnkitMac: 'C3D68012-0208-11ea-9fd7-f2189899ab08=5A-94-ef-e4-0c-ee',
      auditLog: '/tmp/audit.log',
      audit: 'required',
      auditSize: 10,
      pcap: '/tmp/all.pcap',
    };
    assert.deepEqual(checkOptions(options), {
      listen: ['tap:hawser0@guest'],
      subnet: '10.1.0.0/16',
      gateway: '10.1.0.2',
      gatewayMac: '52:54:00:00:00:01',
      hostIp: undefined,
      ipv6: {
        use: 'on',
        subnet: '2001:db8:0:1::/64',
        gateway: '2001:db8:0:1::2',
        uniqueLocal: UNIQUE_LOCAL,
        mode: 'dhcp',
      },
      nat64: { use: 'on', isForPrivate: true, isIpv6Mostly: true },
      mtu: 9_000,
      publish: ['8080:80', '127.0.0.1:5300-5301:10.1.0.9:53-54/udp'],
      sourceAddress: 'gateway',
      keepaliveS: 7,
      mux: { links: ['guest:4099'], allow: ['tcp:127.0.0.1:22'] },
      guestApi: { enabled: true, bind: ['*:8080'] },
      outbound: ['192.0.2.7', '2001:db8::7'],
      dns: {
        isServed: true,
        upstreams: [
          { address: '9.9.9.9', port: 53 },
          { address: '::1', port: 5353 },
        ],
        domains: [
          {
            domain: 'corp.example',
            upstream: { address: '10.1.2.3', port: 853, tlsName: 'ns.corp.example' },
          },
          { domain: 'corp.example', upstream: { address: '10.1.2.4', port: 53 } },
        ],
        addresses: ['10.1.0.3', '2001:db8:0:1::3'],
        family: '6',
        hasCanaries: true,
        others: 'refuse',
        search: ['corp.example'],
        zones: [
          { zone: 'apps.example', address: '10.1.0.7' },
          { zone: 'apps.example', address: 'fd12::7' },
        ],
        hostsFile: '/etc/hosts',
        resolvConf: '/etc/resolv.vpn',
      },
      leases: {
        file: `${process.cwd()}/leases.json`,
        range: { first: '10.1.0.10', last: '10.1.1.20' },
        static: [
          {
            ...{ mac: '52:54:00:12:34:56', address: '10.1.0.10' },
            ...{ hostname: 'build', link: 'qemu:/run/a,b.sock' },
          },
        ],
      },
      policy: {
        file: '/tmp/policy.yaml',
        allow: ['*.example.com:443/tcp'],
        deny: ['10.0.0.0/8'],
      },
      upstreamProxy: {
        servers: ['socks5h://proxy.example:1080', 'env'],
        exclude: ['10.0.0.0/8,.corp.example'],
        authFile: `${process.cwd()}/proxy.txt`,
        unnamed: 'direct',
        names: 'host',
      },
      separation: {
        isolate: true,
        trust: false,
        allowed: ['tap:hawser0@guest=10.1.0.99', 'vm=52-54-00-12-34-56'],
      },
      wsOrigins: ['https://vm.example'],
      socketMode: 0o660,
      hostAccess: false,
      allowMetadata: true,
      vhostMemory: 'any',
      verifyChecksums: false,
      busyPollUs: 50,
      linkGraceMs: 5_000,
      vpnkitMacs: [{ uuid: 'c3d68012-0208-11ea-9fd7-f2189899ab08', mac: '5a:94:ef:e4:0c:ee' }],
      audit: { file: '/tmp/audit.log', isRequired: true, maxBytes: 10 << 20 },
      pcapFile: '/tmp/all.pcap',
    });
  });

  const refused: [object | null, RegExp][] = [
    [{ audit: 'required' }, /^audit needs auditLog .*, got "required"$/],
    [null, /^options must be an object, got null$/],
    [[], /^options must be an object, got \[\]$/],
    [
      { wsOrigin: ['vm.example'] },
      /^wsOrigin\[0\] must be SCHEME:\/\/HOST\[:PORT\], .*, got "vm.example"$/,
    ],
    [{ socketMode: 660 }, /^socketMode must be an octal mode .*, got 660$/],
    [{ vhostMemory: 'all' }, /^vhostMemory must be one of sealed, any, got "all"$/],
    [{ mtu: 1 }, /^mtu must be an integer from 576 to 65520, got 1$/],
    [{ mtu: '1500' }, /^mtu must be an integer from 576 to 65520, got "1500"$/],
    [{ mtu: 1500.5 }, /^mtu must be an integer from 576 to 65520, got 1500\.5$/],
    [{ mtu: Number.NaN }, /^mtu must be an integer .*, got NaN$/],
    [{ mtu: 1500n }, /^mtu must be an integer .*, got 1500$/],
    [{ mtu: null }, /^mtu must be an integer .*, got null$/],
    [{ mtu: {} }, /^mtu must be an integer .*, got \{\}$/],
    [{ subnet: 4 }, /^subnet must be an IPv4 network .*, got 4$/],
    [
      { subnet: '10.0.0.1/24' },
      /^subnet has bits set .*: must be 10\.0\.0\.0\/24, got "10\.0\.0\.1\/24"$/,
    ],
    [
      { gateway: '10.0.0.1' },
      /^gateway must be inside the subnet 192\.168\.127\.0\/24, .* got "10\.0\.0\.1"$/,
    ],
    [{ gateway: '192.168.127.255' }, /^gateway must be .* neither its first nor its last address/],
    [{ gateway: 'fd00::1' }, /^gateway must be an IPv4 address/],
    [{ dnsAddress: 'dns' }, /^dnsAddress must be an IP address such as .* got "dns"$/],
    [{ dnsAddress: '192.168.127.1' }, /^dnsAddress\[0\] must differ from the gateway and the host/],
    [{ dnsAddress: '192.168.127.254' }, /^dnsAddress\[0\] must differ from the gateway and the/],
    [{ hostIp: '10.0.0.3' }, /^hostIp must be inside the subnet 192\.168\.127\.0\/24/],
    [{ dnsAddress: '10.0.0.3' }, /^dnsAddress\[0\] must be inside the subnet 192\.168\.127\.0\/24/],
    [
      { dnsAddress: ['192.168.127.3', '192.168.127.4'] },
      /^dnsAddress\[1\] .* the only one of IPv4/,
    ],
    [
      { dnsAddress: 'fd00::3', ipv6: false },
      /^dnsAddress\[0\] needs IPv6 for guests, which is off/,
    ],
    [
      { dnsAddress: 'fd00::3', subnet6: 'host' },
      /^dnsAddress\[0\] needs a network of guests alone/,
    ],
    [{ dnsAddress: 'fd00::3', subnet6: 'fd00:1::/64' }, /^dnsAddress\[0\] must be inside fd00:1::/],
    [
      { dnsAddress: 'fd00::1', subnet6: 'fd00::/64' },
      /^dnsAddress\[0\] must differ from the gateway/,
    ],
    [{ dnsAddress: '192.168.127.3', dnsServer: 'off' }, /^dnsAddress contradicts dnsServer: off/],
    [{ outboundAddress: 'eth0' }, /^outboundAddress must be an IP address such as/],
    [{ outboundAddress: ['::1', '::2'] }, /^outboundAddress\[1\] must be the only one of IPv6/],
    [{ gateway6: '10.0.0.1' }, /^gateway6 must be an IPv6 address such as/],
    [{ gateway6: 'fd00::', subnet6: 'fd00::/64' }, /^gateway6 must differ from/],
    [{ gateway6: 'fd00::254', subnet6: 'fd00::/64' }, /^gateway6 must differ from/],
    [{ dhcpRange: '192.168.127.9' }, /^dhcpRange must be FIRST-LAST, .* got "192\.168\.127\.9"$/],
    [{ dhcpRange: '192.168.127.9-192.168.127.8' }, /^dhcpRange must be FIRST-LAST/],
    [{ dhcpRange: '192.168.127.9-192.168.128.8' }, /^dhcpRange must be inside the subnet/],
    [
      { dnsAddress: '192.168.127.3', staticLease: '52:54:00:12:34:56=192.168.127.3' },
      /^staticLease\[0\] must differ from the gateway and the host address, and that of DNS/,
    ],
    [
      { hostAccess: false, hostIp: '192.168.127.254' },
      /^hostIp must be none, or left out, where guests have no access to the host, got/,
    ],
    [
      { subnet6: 'fd00:1:2:3::/48' },
      /^subnet6 must be an IPv6 network with a prefix of \/64, .* host or none, got "fd00:1:2:3::\/48"$/,
    ],
    [{ subnet6: '10.0.0.0/24' }, /^subnet6 must be an IPv6 network/],
    [{ subnet6: 'fd00::' }, /^subnet6 must be an IPv6 network/],
    [{ subnet6: 'fd00::1/64' }, /^subnet6 has bits set .*: must be fd00::\/64, got "fd00::1\/64"$/],
    [{ subnet6: 'fe80::/64' }, /^subnet6 must not be loopback, link-local, /],
    [
      { subnet6: 'fd00:1::/64', staticLease: '52:54:00:12:34:56=fd00:2::5' },
      /^staticLease\[0\] must be inside fd00:1::\/64, got "52:54:00:12:34:56=fd00:2::5"$/,
    ],
    [
      { subnet6: 'fd00:1::/64', staticLease: '52:54:00:12:34:56=fd00:1::254' },
      /^staticLease\[0\] must differ from the gateway and the host address/,
    ],
    [
      { ipv6: false, staticLease: '52:54:00:12:34:56=fd00:1::5' },
      /^staticLease\[0\] needs IPv6 for guests, which is off/,
    ],
    [
      {
        subnet6: 'fd00:1::/64',
        staticLease: ['52:54:00:12:34:56=fd00:1::5', '52:54:00:12:34:56=fd00:1::6'],
      },
      /^staticLease\[1\] must not name an address, or a MAC with the same family, a second time/,
    ],
    [{ ipv6: 'yes' }, /^ipv6 must be one of auto, on, off, got "yes"$/],
    [{ ipv6Mode: 'ra' }, /^ipv6Mode must be one of slaac, dhcp, both, got "ra"$/],
    [{ nat64: 1 }, /^nat64 must be one of auto, on, off, got 1$/],
    [{ dnsOther: 'deny' }, /^dnsOther must be one of allow, redirect, refuse, got "deny"$/],
    [{ dnsFamily: 5 }, /^dnsFamily must be one of auto, 4, 6, both, got 5$/],
    [{ ipv6: 'on', subnet6: 'none' }, /^subnet6 contradicts ipv6: on, got "none"$/],
    [{ ipv6: 'on', mtu: 1_279 }, /^mtu must be 1280 or more with ipv6: on .*, got 1279$/],
    [{ nat64: true, ipv6: false }, /^nat64 needs IPv6 for guests, which is off, got "on"$/],
    [{ nat64: 'on', subnet6: 'none' }, /^nat64 needs IPv6 for guests/],
    [{ nat64: 'off', ipv6Mostly: true }, /^ipv6Mostly needs NAT64, .* contradicts nat64: off$/],
    [{ nat64: 'off', nat64Private: true }, /^nat64Private contradicts nat64: off$/],
    [{ hostIp: null }, /^hostIp must be text, got null$/],
    [{ hostIp: 'off' }, /^hostIp must be an IPv4 address, or none .*, got "off"$/],
    [{ publish: ['8080:80', 80] }, /^publish\[1\] must be \[HOSTIP:\]HOSTPORT:.*, got 80$/],
    [{ publish: '80' }, /^publish must be \[HOSTIP:\]HOSTPORT:.*, got "80"$/],
    [{ publish: null }, /^publish must be text, got null$/],
    [
      { publish: ['80:10.9.9.9:80'] },
      /^publish\[0\] the guest's address must be inside the subnet/,
    ],
    [{ listen: ['tap:a', 'x:y'] }, /^listen\[1\] must be a link: one of .*, got "x:y"$/],
    [
      { listen: ['qemu:/a', 'qemu:/a'] },
      /^listen\[1\] must not be used twice: each socket and file needs a path of its own, got "\/a"$/,
    ],
    [{ listen: ['fd:7', 'fd:7:qemu'] }, /^listen\[1\] must be on a descriptor that no other/],
    [{ listen: ['stdio', 'fd:0'] }, /^listen\[1\] must be on a descriptor that no other/],
    [{ allowAddress: '10.1.0.9' }, /^allowAddress must be LINK=ADDRESS: .*, got "10\.1\.0\.9"$/],
    [{ allowAddress: ['=10.1.0.9'] }, /^allowAddress\[0\] must be LINK=ADDRESS/],
    [{ allowAddress: ['tap:a=10.1.0.9/33'] }, /^allowAddress\[0\] must be LINK=ADDRESS/],
    [{ allowAddress: ['tap:a=53:54:00:12:34:56'] }, /^allowAddress\[0\] must be LINK=ADDRESS/],
    [
      { isolateGuests: true, trustGuests: true },
      /^trustGuests contradicts isolateGuests: give one of them$/,
    ],
    [{ sourceAddress: 'real' }, /^sourceAddress must be one of preserve, gateway, got "real"$/],
    [{ guestApi: 'yes' }, /^guestApi must be on or off, got "yes"$/],
    [{ guestApi: 1 }, /^guestApi must be on or off, got 1$/],
    [{ guestApiBind: 80 }, /^guestApiBind must be ADDRESS:PORT .*, got 80$/],
    [{ mux: ['tcp:1'] }, /^mux\[0\] must be unix:PATH/],
    [{ muxAllow: ['x'] }, /^muxAllow\[0\] must be \[tcp:\|udp:\]ADDRESS:PORT/],
    [{ dns: [] }, /^dns must name at least one resolver, got \[\]$/],
    [{ dns: [{ address: '9.9.9.9' }] }, /^dns\[0\] must be text, got \{"address":"9\.9\.9\.9"\}$/],
    [{ dnsSearch: ['a..b'] }, /^dnsSearch\[0\] must be a domain name/],
    [{ dnsZone: ['a=b'] }, /^dnsZone\[0\] must be ZONE=IP/],
    [{ hosts: '' }, /^hosts must name a file, got ""$/],
    [{ leaseFile: 7 }, /^leaseFile must be text, got 7$/],
    [
      { staticLease: ['52:54:00:12:34:56=10.0.0.1'] },
      /^staticLease\[0\] must be inside the subnet/,
    ],
    [{ verifyChecksums: 'no' }, /^verifyChecksums must be true or false, got "no"$/],
    [{ keepalive: 32_768 }, /^keepalive must be an integer from 0 to 32767, got 32768$/],
    [{ busyPoll: -1 }, /^busyPoll must be an integer from 0 to 10000, got -1$/],
    [{ colour: 1 }, /^colour is not a known key: allowed are listen, subnet, /],
    [{ host_ip: 'none' }, /^host_ip is not a known key: did you mean hostIp\?$/],
    [{ name: 'x' }, /^name is not a known key/], // the daemon's
    [{ dns: itself }, /^dns\[0\] must be text, got a structure that contains itself$/],
    [{ subnet: 'x'.repeat(1000) }, /^subnet must be .{1,260}$/],
  ];
  for (const [options, message] of refused) {
    it(`refuses what is not allowed: ${message.source.slice(0, 70)}`, () => {
      const error = complaint(options);
      assert.match(error.message, message);
      assert.equal(error.code, 'ERR_HAWSER_OPTIONS');
      assert.deepEqual(error.problems, [error.message]);
    });
  }

  it('says everything that is wrong in one error', () => {
    const { problems, message } = complaint({ mtu: 1, gateway: 7, colour: 'red' });
    assert.equal(problems.length, 3);
    assert.equal(message, problems.join('\n'));
    assert.equal(complaint({ gateway: '10.0.0.1', hostIp: '10.0.0.1' }).problems.length, 2);
  });

  it('a network is refused by them before anything is opened', async () => {
    const bad: object = { mtu: '1500', listen: ['qemu:127.0.0.1:0'] };
    await assert.rejects(createNetwork(bad), { code: 'ERR_HAWSER_OPTIONS' });
  });

  it('a network needs none of them', async () => {
    const network = await createNetwork();
    assert.deepEqual(network.view.info().links, []);
    assert.equal(network.view.info().gateway, '192.168.127.1');
    await network.close();
  });

  it('a wrong rule, or no file of a policy, is named by the option', async () => {
    for (const [options, why] of [
      [{ allow: ['a.test', 'a..b'] }, /^allow\[1\] must be a host name, .*, got "a\.\.b"$/],
      [{ deny: 'a.test:0' }, /^deny\[0\] must be ports from 1 to 65535, .*, got "a\.test:0"$/],
      [{ policy: '/nonexistent/p.yaml' }, /^policy \/nonexistent\/p\.yaml cannot be read: ENOENT/],
    ] as const) {
      await assert.rejects(createNetwork(options), {
        code: 'ERR_HAWSER_OPTIONS',
        message: why,
      });
    }
  });

  it('a log that is none is refused, before anything is open', async () => {
    for (const log of [5, null, {}, { debug: () => {} }]) {
      const create = async (): Promise<unknown> =>
        await Reflect.apply(createNetwork, undefined, [{}, log]);
      await assert.rejects(create, {
        code: 'ERR_HAWSER_OPTIONS',
        message: /^the log must be an object with the functions debug, info, warn, error, got /,
      });
    }
  });
});
