/**
 * A lab whose host reaches {@link ORIGIN} in no way but through proxies, which run outside:
 *
 *     origin (192.0.2.1, outside's loopback) ---- proxies, DNS (198.18.0.1) ---- host ---- guest
 *
 * a.test, b.test, denied.test and others are there, free.test is outside itself; six.test is there by IPv6 alone.
 */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Daemon } from './daemon.ts';
import { addIpv6, OUTSIDE6 } from './ipv6.ts';
import { GATEWAY, type Guest, Lab, OUTSIDE, withEtc } from './lab.ts';
import { type Background, succeed } from './processes.ts';
import { until } from './until.ts';

export const ORIGIN = '192.0.2.1';
/** Of moved.test by DNS; proxies that use a hosts file know better. */
const NOBODY = '192.0.2.77';
export const ORIGIN6 = '2001:db8:6::1';
/** Of moved6.test by DNS. */
export const NOBODY6 = '2001:db8:6::77';
const ORIGIN_MAIN = fileURLToPath(new URL('./origin-main.js', import.meta.url));

export interface LabFamilies {
  /** Without it only IPv4 is there. */
  readonly hasIpv6?: boolean;
}

export class BehindProxy {
  readonly lab: Lab;
  readonly origin: Background;
  readonly guest: Guest;

  private constructor(lab: Lab, origin: Background, guest: Guest) {
    this.lab = lab;
    this.origin = origin;
    this.guest = guest;
  }

  static async open({ hasIpv6 = false }: LabFamilies = {}): Promise<BehindProxy> {
    const lab = await Lab.open();
    await succeed(['ip', '-n', lab.outside.name, 'addr', 'add', `${ORIGIN}/32`, 'dev', 'lo']);
    await succeed(['ip', '-n', lab.host.name, 'route', 'add', 'unreachable', `${ORIGIN}/32`]);
    const keys = [lab.path('key.pem'), lab.path('cert.pem')];
    await lab.outside.run(
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
      ...['-nodes', '-subj', '/CN=a.test', '-days', '1'],
      ...['-keyout', lab.path('key.pem'), '-out', lab.path('cert.pem')],
    );
    const origin = lab.outside.start([process.execPath, ORIGIN_MAIN, '0.0.0.0', ...keys]);
    await origin.prints(/serving/);
    if (hasIpv6) await BehindProxy.addOrigin6(lab, keys);
    lab.outside.start([
      ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
      ...['/dev/null', `--address=/a.test/b.test/denied.test/${ORIGIN}`],
      `--address=/front.test/secret.test/grease.test/${ORIGIN}`,
      ...(hasIpv6 ? [`--address=/six.test/${ORIGIN6}`, `--address=/moved6.test/${NOBODY6}`] : []),
      ...[
        `--address=/moved.test/${NOBODY}`,
        `--address=/free.test/${OUTSIDE}`,
        ...(hasIpv6 ? [`--address=/free.test/${OUTSIDE6}`] : []),
        '--mx-host=a.test,mail.a.test,10',
      ],
    ]);
    await until('dnsmasq', async () =>
      (await lab.outside.run('ss', '-Hlun')).includes(':53 ') ? true : undefined,
    );
    const guest = await lab.addGuest();
    mkdirSync(lab.path('etc'));
    writeFileSync(lab.path('etc/resolv.conf'), `nameserver ${GATEWAY}\n`);
    writeFileSync(lab.path('etc/nsswitch.conf'), 'hosts: files dns\n');
    return new BehindProxy(lab, origin, guest);
  }

  private static async addOrigin6(lab: Lab, keys: readonly string[]): Promise<void> {
    await addIpv6(lab);
    await lab.outside.run('ip', 'addr', 'add', `${ORIGIN6}/128`, 'dev', 'lo', 'nodad');
    await lab.host.run('ip', 'route', 'add', 'unreachable', '2001:db8:6::/48');
    for (const address of [ORIGIN6, OUTSIDE6]) {
      const origin = lab.outside.start([process.execPath, ORIGIN_MAIN, address, ...keys]);
      await origin.prints(/serving/);
    }
  }

  /** @param etc a directory that the daemon sees as /etc */
  async start(args: readonly string[], etc?: string): Promise<Daemon> {
    const { lab, guest } = this;
    const daemon = await lab.startDaemon(['--listen', guest.link, '--dns', OUTSIDE, ...args], etc);
    await guest.lease();
    return daemon;
  }

  /** In the guest, whose resolver is the gateway: the exit status, and what it prints. */
  async curl(...args: readonly string[]): Promise<string> {
    const argv = withEtc(this.lab.path('etc'), ['curl', '-sS', '-k', '-m', '8', ...args]);
    const { stdout, status } = await this.guest.try(...argv);
    return `${status} ${stdout.trim()}`;
  }

  /**
   * A command that sees names of the origin, and no resolver.
   *
   * @param password of the user `user`, as `openssl passwd` has it; absent: there is no such user
   */
  withHosts(argv: readonly string[], password?: string): readonly string[] {
    const etc = this.lab.path('hosts-etc');
    mkdirSync(etc, { recursive: true });
    writeFileSync(
      `${etc}/hosts`,
      `${ORIGIN} a.test b.test moved.test only.test front.test secret.test\n${OUTSIDE} free.test\n` +
        `${ORIGIN6} six.test moved6.test\n`,
    );
    writeFileSync(`${etc}/nsswitch.conf`, 'hosts: files\npasswd: files\ngroup: files\n');
    writeFileSync(`${etc}/passwd`, 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n');
    writeFileSync(`${etc}/group`, 'root:x:0:\nnogroup:x:65534:\n');
    if (password !== undefined) {
      appendFileSync(`${etc}/passwd`, 'user:x:1001:65534::/:/bin/sh\n');
      writeFileSync(`${etc}/shadow`, `user:${password}:19000:0:99999:7:::\n`, { mode: 0o600 });
    }
    return withEtc(etc, argv);
  }
}

export interface Answered {
  readonly status: number;
  readonly body: { readonly document?: Readonly<Record<string, unknown>> | null };
}

export async function putProxy(daemon: Daemon, document: object): Promise<Answered> {
  const { api } = await daemon.ready();
  return await callApi(api, '/v1/proxy', document);
}

export async function callApi(where: string, path: string, document: object): Promise<Answered> {
  const socketPath = where.replace(/^unix:/, '');
  const headers = { 'content-type': 'application/json' };
  return await new Promise((resolve, reject) => {
    request({ socketPath, path, method: 'PUT', headers }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => {
        text += bytes;
      });
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) as Answered['body'] }),
      );
    })
      .on('error', reject)
      .end(JSON.stringify(document));
  });
}
