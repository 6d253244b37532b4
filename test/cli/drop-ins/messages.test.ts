/** What drop-ins say is wrong names what their launchers have given, and no option of `hawser run` that these cannot give. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { itNeeding } from '../../support/requirements.ts';
import { Workplace } from '../process/hawser.ts';

interface Row {
  readonly program: 'gvproxy' | 'vpnkit' | 'slirp4netns' | 'usernet' | 'run';
  /** `@` stands for the directory, in which `busy` is served and `file` is no socket. */
  readonly args: string;
  readonly env?: NodeJS.ProcessEnv;
  /** The line, with the same. */
  readonly says: string;
}

const BUSY = 'is in use by another process; stop it, or choose another place';
const SERVED = 'a process serves it already; end that one, or choose another path';
const QEMU = '-ssh-port=-1 -listen-qemu unix://@/q';
const ETHERNET = '--ethernet @/e --hosts=';
const USERNET = '--listen-qemu @/q';

const ROWS: readonly Row[] = [
  {
    program: 'gvproxy',
    args: '-ssh-port=-1 -listen-qemu unix://@/busy',
    says: `-listen-qemu unix://@/busy: @/busy ${BUSY}`,
  },
  {
    program: 'gvproxy',
    args: '-ssh-port=-1 -listen-vpnkit unix://@/file',
    says: '-listen-vpnkit unix://@/file: @/file exists and is not a socket',
  },
  {
    program: 'gvproxy',
    args: `${QEMU} -listen unix://@/busy`,
    says: `-listen unix://@/busy: cannot serve the control API at @/busy: ${SERVED}`,
  },
  {
    program: 'gvproxy',
    args: `${QEMU} -services unix://@/busy`,
    says: `-services unix://@/busy: cannot serve the control API at @/busy: ${SERVED}`,
  },
  {
    program: 'gvproxy',
    args: `${QEMU} -config @/leases.yaml`,
    says: 'stack.dhcpStaticLeases 192.168.127.9: odd: must be MAC=IP[,HOSTNAME[,LINK]], such as 52:54:00:12:34:56=192.168.127.10,build',
  },
  {
    program: 'gvproxy',
    args: QEMU,
    env: { HAWSER_UPSTREAM_PROXY: 'ftp://p' },
    says: 'HAWSER_UPSTREAM_PROXY=ftp://p: must be http://',
  },
  {
    program: 'gvproxy',
    args: QEMU,
    env: { HAWSER_UPSTREAM_PROXY: 'http://p:1', HAWSER_PROXY_AUTH_FILE: '/nowhere/secret' },
    says: 'HAWSER_PROXY_AUTH_FILE=/nowhere/secret: cannot be read: ENOENT',
  },
  {
    program: 'vpnkit',
    args: '--ethernet @/busy --hosts=',
    says: `--ethernet @/busy: @/busy ${BUSY}`,
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --dns @/none`,
    says: '--dns @/none: cannot be read: ENOENT',
  },
  {
    program: 'vpnkit',
    args: '--ethernet @/e --hosts @/',
    says: '--hosts @/: cannot be read: @ is a directory: name a regular file',
  },
  {
    program: 'vpnkit',
    args: '--ethernet @/e --hosts /dev/zero',
    says: '--hosts /dev/zero: cannot be read: /dev/zero is a device: name a regular file',
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --dhcp-path @/dhcp.json`,
    says: '--dhcp-path @/dhcp.json: a..b: must be a domain name such as corp.example',
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --port @/busy`,
    says: `--port @/busy: cannot serve the control API at @/busy: ${SERVED}`,
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --http-api-path @/busy`,
    says: `--http-api-path @/busy: cannot serve HTTP proxies at @/busy: ${SERVED}`,
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --pcap @/busy`,
    says: `--pcap @/busy: cannot serve the capture at @/busy: ${SERVED}`,
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --diagnostics @/file`,
    says: '--diagnostics @/file: cannot serve diagnostics at @/file: it exists and is not a socket; remove it, or choose another path',
  },
  {
    program: 'vpnkit',
    args: '--ethernet @/file/e --hosts=',
    says: '--ethernet @/file/e: cannot make the directory @/file: ',
  },
  {
    program: 'slirp4netns',
    args: '--target-type=bess @/b --api-socket @/busy',
    says: `--api-socket @/busy: cannot serve the API of slirp4netns at @/busy: ${SERVED}`,
  },
  {
    program: 'slirp4netns',
    args: '--target-type=bess @/busy',
    says: `--target-type=bess @/busy: @/busy ${BUSY}`,
  },
  {
    program: 'slirp4netns',
    args: '--target-type=bess @/b --ready-fd 77',
    says: '--ready-fd 77: must be an open descriptor to write to',
  },
  {
    program: 'slirp4netns',
    args: '--netns-type=tapfd 77',
    says: 'cannot attach fd:77: descriptor 77 is not open: whoever starts this has to hand it on',
  },
  {
    program: 'gvproxy',
    args: `${QEMU} -listen unix://@/q`,
    says: '@/q: must not be used twice: each socket and file needs a place of its own',
  },
  {
    program: 'vpnkit',
    args: `${ETHERNET} --port @/p --pcap @/p`,
    says: '@/p: must not be used twice: each socket and file needs a place of its own',
  },
  {
    program: 'usernet',
    args: '-e @/ep --listen-qemu @/busy',
    says: `--listen-qemu @/busy: @/busy ${BUSY}`,
  },
  {
    program: 'usernet',
    args: `-e @/busy ${USERNET}`,
    says: `-e @/busy: cannot serve the control API at @/busy: ${SERVED}`,
  },
  {
    program: 'run',
    args: '--listen qemu:@/busy',
    says: `--listen qemu:@/busy: @/busy ${BUSY}: another --name has places of its own`,
  },
  {
    program: 'run',
    args: '--listen qemu:@/q --mux unix:@/busy',
    says: `--mux unix:@/busy: @/busy ${BUSY}: another --name has places of its own`,
  },
  {
    program: 'run',
    args: '--listen qemu:@/q --api unix:@/busy',
    says: `--api: cannot serve the control API at @/busy: ${SERVED}: another --name has places of its own`,
  },
];

describe('cli/drop-ins: what is wrong', function () {
  this.timeout(60_000);
  let place: Workplace;
  let server: Server;
  beforeEach(async () => {
    place = new Workplace();
    server = createServer();
    server.listen(place.path('busy'));
    await once(server, 'listening');
    writeFileSync(place.path('file'), '');
    writeFileSync(place.path('dhcp.json'), '{"searchDomains":["a..b"]}');
    writeFileSync(place.path('leases.yaml'), 'stack: {dhcpStaticLeases: {192.168.127.9: odd}}\n');
  });
  afterEach(async () => {
    server.close();
    await place.close();
  });

  for (const { program, args, env, says } of ROWS) {
    const needs = program === 'slirp4netns' ? (['koffi'] as const) : [];
    itNeeding(`${program} ${args} ${Object.keys(env ?? {})}`.trim(), needs, async () => {
      const words = args.replaceAll('@', place.dir).split(' ');
      const name = program === 'usernet' || program === 'run' ? 'hawser' : `hawser-${program}`;
      const file = fileURLToPath(new URL(`../../../bin/${name}.js`, import.meta.url));
      const argv = name === 'hawser' ? [file, program, ...words] : [file, ...words];
      const started = place.start(process.execPath, argv, { env: { ...env } });
      const { status } = await started.ended;
      const expected = says.replaceAll('@', place.dir);
      assert.ok(started.stderr.includes(`: ${expected}`), started.stderr);
      assert.ok(status === 1 || (program === 'run' && status === 2), `status ${status}`);
      if (program === 'run') return;
      const foreign = /--(name|api|resolv-conf|mux|listen|proxy-auth-file)\b(?!-)/;
      assert.doesNotMatch(started.stderr, foreign);
    });
  }
});
