/** A guest's flows to an address that is allowed for one name: whatever it states, nothing reaches another. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  EARLY_DATA,
  ECH,
  helloMessage,
  helloRecords,
  KEY_SHARE,
  ML_KEM_SHARE_LEN,
  record,
} from '../services/sniff/hello-bytes.ts';
import { cryptoFrame, initialPacket } from '../services/sniff/quic-bytes.ts';
import { itNeeding, LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, type Guest, Lab, OUTSIDE, withEtc } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const NAME = 'a.test';
const EVIL = 'b.test';
const RESET_MS = 100;
/** Signature, version and command, family, length; addresses and ports. */
const PROXY_V2 = '0d0a0d0a000d0a515549540a' + '2111000c' + 'c0000201' + 'c0000202' + '000101bb';

const main = (name: string): string =>
  fileURLToPath(new URL(`./support/${name}.js`, import.meta.url));
const hex = (bytes: Uint8Array | string): string =>
  Buffer.from(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes).toString('hex');
const get = (host: string, rest = ''): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n${rest}\r\n`;
const SEND_UDP = `const s = require('dgram').createSocket('udp4');
  s.on('error', (e) => { console.log(e.code); process.exit(); });
  s.connect(443, process.argv[1], async () => {
    for (const piece of process.argv.slice(2)) await new Promise((done) => s.send(Buffer.from(piece, 'hex'), done));
    setTimeout(() => { console.log('silence'); process.exit(); }, 500);
  });`;

interface Denied {
  readonly count: number;
  readonly why: string;
}

interface Ended {
  readonly got: string;
  readonly how: string;
  readonly afterMs: number;
}

systemSuite('inspection of what a guest states', [...LAB, 'curl', 'dig', 'openssl'], function () {
  this.timeout(60_000);

  let lab: Lab;
  let guest: Guest;
  let denied = 0;
  let servers: Background;
  let keys: readonly string[];

  const startServers = async (): Promise<void> => {
    servers = lab.outside.start([process.execPath, main('named-main'), '0.0.0.0', ...keys]);
    await servers.prints(/serving/);
  };

  before(async () => {
    lab = await Lab.open();
    keys = [lab.path('key.pem'), lab.path('cert.pem')];
    await lab.outside.run(
      ...[
        'openssl',
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
      ],
      ...['-subj', `/CN=${NAME}`, '-days', '1', '-keyout', lab.path('key.pem')],
      ...['-out', lab.path('cert.pem')],
    );
    await startServers();
    guest = await lab.addGuest();
    writeFileSync(lab.path('policy.yaml'), `{default: deny, rules: [{allow: {name: ${NAME}}}]}`);
    await lab.startDaemon([
      ...['--listen', guest.link, '--dns-zone', `${NAME}=${OUTSIDE}`],
      ...['--policy', lab.path('policy.yaml')],
    ]);
    await guest.lease();
  });
  after(() => lab.close());
  beforeEach(async () => {
    servers.stdout = '';
    assert.match(await guest.run('dig', `@${GATEWAY}`, '+short', NAME), new RegExp(OUTSIDE));
    denied = sumOf(await denials());
  });

  const denials = async (): Promise<readonly Denied[]> => {
    const api = ['--unix-socket', lab.path('hawser/default/api.sock')];
    const text = await lab.host.run('curl', '-sS', ...api, 'http://hawser/v1/policy/denials');
    return (JSON.parse(text) as { denials: readonly Denied[] }).denials;
  };
  const putPolicy = async (document: object): Promise<void> => {
    const api = ['--unix-socket', lab.path('hawser/default/api.sock')];
    const put = ['-X', 'PUT', '--json', JSON.stringify(document)];
    await lab.host.run('curl', '-sSf', ...api, ...put, 'http://hawser/v1/policy');
  };
  const sumOf = (list: readonly Denied[]): number =>
    list.reduce((sum, { count }) => sum + count, 0);
  /** Since the test began; the reasons of those that are new, or were there before. */
  const isDenied = async (why: RegExp): Promise<void> => {
    const list = await denials();
    assert.ok(sumOf(list) > denied);
    assert.ok(
      list.some((one) => why.test(one.why)),
      list.map((one) => one.why).join(),
    );
  };
  const isNotDenied = async (): Promise<void> => assert.equal(sumOf(await denials()), denied);

  const curl = async (...args: readonly string[]): Promise<string> => {
    const { stdout, status } = await guest.try('curl', '-sS', '-k', '-m', '5', ...args);
    return `${status} ${stdout.trim()}`;
  };
  const resolved = (name: string, port: number): readonly string[] => [
    ...['--resolve', `${name}:${port}:${OUTSIDE}`],
    `${port === 80 ? 'http' : 'https'}://${name}:${port}/`,
  ];
  const sends = async (port: number, ...pieces: readonly string[]): Promise<Ended> => {
    const argv = [process.execPath, main('raw-client-main'), OUTSIDE, `${port}`, ...pieces];
    return JSON.parse(await guest.run(...argv)) as Ended;
  };
  /** Of the connection to `port` that has ended. */
  const reached = async (port: number): Promise<number> =>
    await until(`a connection to ${port} to end`, () => {
      const bytes = new RegExp(`^${port} (\\d+)$`, 'm').exec(servers.stdout)?.[1];
      return bytes === undefined ? undefined : Number(bytes);
    });
  const isReset = ({ how, afterMs, got }: Ended): void => {
    assert.deepEqual([how, got], ['ECONNRESET', '']);
    assert.ok(afterMs <= RESET_MS, `${afterMs} ms`);
  };

  it('lets curl reach the name over TLS, TLS 1.2, HTTP and HTTP/2 in the clear', async () => {
    assert.equal(await curl(...resolved(NAME, 443)), `0 host ${NAME}`);
    assert.equal(await curl('--tls-max', '1.2', ...resolved(NAME, 443)), `0 host ${NAME}`);
    assert.equal(await curl(...resolved(NAME, 80)), `0 host ${NAME}`);
    await curl('--http2-prior-knowledge', ...resolved(NAME, 80));
    await isNotDenied();
  });

  it('resets TLS to another name within 100 ms, and no byte of it arrives', async () => {
    assert.match(await curl(...resolved(EVIL, 443)), /^35 /);
    assert.equal(await reached(443), 0);
    servers.stdout = '';
    isReset(await sends(443, hex(helloRecords({ name: EVIL }))));
    assert.equal(await reached(443), 0);
    await isDenied(/b\.test was not looked up/);
  });

  const evilHellos: readonly (readonly [string, readonly string[]])[] = [
    ['no server name', [hex(helloRecords({}))]],
    [
      'ECH, of which only the outer name is seen',
      [hex(helloRecords({ name: 'cloudflare-ech.com', extensions: [[ECH, new Uint8Array(200)]] }))],
    ],
    ['the form of SSL 2', ['802e010301001500000010', '00'.repeat(40)]],
    [
      'an alert in front',
      [hex(record(21, Uint8Array.of(1, 0))), hex(helloRecords({ name: EVIL }))],
    ],
    ['records of one byte', [hex(helloRecords({ name: EVIL }, 1))]],
    [
      'segments of one byte',
      [...helloRecords({ name: EVIL })].map((byte) => hex(Uint8Array.of(byte))),
    ],
    [
      'a large share of a key',
      [
        hex(
          helloRecords({ name: EVIL, extensions: [[KEY_SHARE, new Uint8Array(ML_KEM_SHARE_LEN)]] }),
        ),
      ],
    ],
    ['a malformed hello', [hex(record(22, Uint8Array.of(1, 0, 0, 1, 9)))]],
    ['a PROXY header in front', [hex(`PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n`)]],
    ['a binary PROXY header in front', [`${PROXY_V2}${hex(helloRecords({ name: EVIL }))}`]],
  ];
  for (const [what, pieces] of evilHellos) {
    it(`resets TLS with ${what}, and no byte arrives`, async () => {
      isReset(await sends(443, ...pieces));
      assert.equal(await reached(443), 0);
    });
  }

  it('lets a client say hello again where the server asks for it', async () => {
    const url = [...['--resolve', `${NAME}:8443:${OUTSIDE}`], `https://${NAME}:8443/`];
    const { stdout, stderr } = await guest.try('curl', '-sS', '-k', '-v', '-m', '5', ...url);
    assert.match(stdout, /^host a\.test/);
    assert.equal(stderr.match(/TLS handshake, Client hello/g)?.length, 2, stderr);
    await isNotDenied();
  });

  it('resets a second hello of another name, at once or behind early data', async () => {
    const early = helloRecords({ name: NAME, extensions: [[EARLY_DATA, new Uint8Array(0)]] });
    const data = record(23, new Uint8Array(200));
    for (const first of [[helloRecords({ name: NAME })], [early, data]]) {
      isReset(await sends(443, [...first, helloRecords({ name: EVIL })].map(hex).join('')));
      assert.equal(await reached(443), 0);
      await isDenied(/b\.test was not looked up/);
      servers.stdout = '';
    }
  });

  it('answers HTTP to another name with the reason on port 80, and no byte of it arrives', async () => {
    const { stdout } = await guest.try(...['curl', '-sS', '-i', '-m', '5'], ...resolved(EVIL, 80));
    assert.match(
      stdout,
      /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*b\.test was not looked up to come here\n$/,
    );
    assert.equal(await reached(80), 0);
  });

  const evilRequests: readonly (readonly [string, string])[] = [
    ['absolute-form', `GET http://${EVIL}/ HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`],
    ['absolute-form of its own', `GET http://${EVIL}/ HTTP/1.1\r\nHost: ${EVIL}\r\n\r\n`],
    ['CONNECT', `CONNECT ${EVIL}:443 HTTP/1.1\r\nHost: ${EVIL}:443\r\n\r\n`],
    ['two hosts', get(NAME, `Host: ${EVIL}\r\n`)],
    ['no host', 'GET / HTTP/1.0\r\n\r\n'],
    ['a line feed alone', `GET / HTTP/1.1\nHost: ${EVIL}\n\n`],
    ['a length and chunks', get(NAME, 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n')],
  ];
  for (const [what, bytes] of evilRequests) {
    it(`answers ${what} with a refusal, and no byte arrives`, async () => {
      const ended = await sends(80, hex(bytes));
      assert.match(ended.got, /^HTTP\/1\.1 403 /);
      assert.ok(ended.afterMs <= RESET_MS, `${ended.afterMs} ms`);
      assert.equal(await reached(80), 0);
    });
  }

  const laterRequests: readonly (readonly [string, readonly string[]])[] = [
    ['behind an answer', [get(NAME), 'wait', get(EVIL)]],
    ['at once', [get(NAME) + get(EVIL)]],
    ['behind a body', [get(NAME, 'Content-Length: 3\r\n'), `abc${get(EVIL)}`]],
    [
      'behind a body in chunks',
      [get(NAME, 'Transfer-Encoding: chunked\r\n'), `3\r\nabc\r\n0\r\n\r\n${get(EVIL)}`],
    ],
    [
      'behind an upgrade that the server does not take',
      [get(NAME, 'Connection: Upgrade\r\nUpgrade: x\r\n'), 'wait', get(EVIL)],
    ],
  ];
  for (const [what, pieces] of laterRequests) {
    it(`resets a second request to another host ${what}, which does not arrive`, async () => {
      const sent = pieces.filter((piece) => piece !== 'wait').join('').length - get(EVIL).length;
      const ended = await sends(
        80,
        ...pieces.map((piece) => (piece === 'wait' ? piece : hex(piece))),
      );
      assert.equal(ended.how, 'ECONNRESET');
      assert.doesNotMatch(ended.got, /host b\.test/);
      assert.ok((await reached(80)) <= sent);
      await isDenied(/b\.test was not looked up/);
    });
  }

  it('lets a server speak first at once, which does not free the guest', async () => {
    const mail = await sends(25, 'wait', hex('EHLO x\r\n'), 'end');
    assert.deepEqual([mail.got, mail.how], ['220 hello\r\nEHLO x\r\n', 'end']);
    assert.equal(await reached(25), 8);
    servers.stdout = '';
    const evil = await sends(25, 'wait', hex(helloRecords({ name: EVIL })));
    assert.deepEqual([evil.got, evil.how], ['220 hello\r\n', 'ECONNRESET']);
    assert.equal(await reached(25), 0);
  });

  itNeeding('lets SSH pass as if it were not there', ['sshd', 'ssh-keygen'], async () => {
    const [key, config] = [lab.path('ssh-key'), lab.path('sshd_config')];
    await lab.outside.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key);
    writeFileSync(config, `HostKey ${key}\nPort 22\nUsePAM no\nPidFile none\n`);
    const run =
      'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$0"';
    const ssh = lab.outside.start(['unshare', '-m', 'sh', '-c', run, config]);
    await ssh.prints(/Server listening/);
    const scanned = await guest.run('ssh-keyscan', '-t', 'ed25519', '-T', '3', OUTSIDE);
    assert.match(scanned, /^198\.18\.0\.1 ssh-ed25519 /m);
    await isNotDenied();
    await ssh.stop();
  });

  it('resets a client that ends in the middle of a hello', async () => {
    isReset(await sends(443, hex(helloRecords({ name: EVIL }).subarray(0, 50)), 'end'));
    assert.equal(await reached(443), 0);
  });

  const whole = (name: string): Uint8Array => cryptoFrame(0, helloMessage({ name }));
  const initial = (number: number, frames: Uint8Array, id = 1): string =>
    hex(initialPacket({ destination: new Uint8Array(8).fill(id), number, frames }));
  const sendsUdp = async (...pieces: readonly string[]): Promise<string> =>
    (await guest.run(process.execPath, '-e', SEND_UDP, OUTSIDE, ...pieces)).trim();

  it('lets Initial packets of QUIC to the name pass, in two datagrams and out of order', async () => {
    const message = helloMessage({ name: NAME });
    const halves = [cryptoFrame(0, message.subarray(0, 50)), cryptoFrame(50, message.subarray(50))];
    const [first = '', last = ''] = halves.map((frames, i) => initial(i, frames));
    assert.equal(await sendsUdp(last, first, '40010203'), 'silence');
    await until('three datagrams to arrive', () =>
      /^udp 1200\nudp 1200\nudp 4\n$/.test(servers.stdout) ? true : undefined,
    );
  });

  const evilDatagrams: readonly (readonly [string, string])[] = [
    ['to another name', initial(0, whole(EVIL))],
    ['to no name', initial(0, cryptoFrame(0, helloMessage({})))],
    ['that are not Initials', '40010203'],
    ['of a version that is not known', hex(Uint8Array.of(0xc0, 0xff, 0, 0, 29, 0, 0))],
  ];
  for (const [what, bytes] of evilDatagrams) {
    it(`refuses datagrams of QUIC ${what}, and none arrives`, async () => {
      assert.match(
        await sendsUdp(bytes, initial(0, whole(NAME), 2)),
        /ECONNREFUSED|EHOSTUNREACH|EACCES|silence/,
      );
      assert.equal(servers.stdout, '');
      await isDenied(/./);
    });
  }

  describe('where a network behind the name is open', () => {
    before(async () => {
      const rules = [{ allow: { name: NAME } }, { allow: { cidr: `${OUTSIDE}/32` } }];
      await putPolicy({ default: 'deny', rules });
      await servers.stop();
      await startServers();
    });
    after(() => putPolicy({ default: 'deny', rules: [{ allow: { name: NAME } }] }));

    it('passes what cannot be read, of TLS, HTTP and QUIC', async () => {
      const odd = hex(record(22, Uint8Array.of(1, 0, 0, 1, 9)));
      await sends(443, odd, 'end');
      assert.equal(await reached(443), odd.length / 2);
      const request = `GET / HTTP/1.1\nHost: ${EVIL}\n\n`;
      await sends(80, hex(request), 'end');
      assert.equal(await reached(80), request.length);
      assert.equal(await sendsUdp('40010203', 'c0ff00001d0000'), 'silence');
      await until('two datagrams to arrive', () =>
        /^udp 4\nudp 7$/m.test(servers.stdout) ? true : undefined,
      );
      await isNotDenied();
    });
  });

  itNeeding('lets a real client of QUIC reach the name, and no other', ['gtlsclient'], async () => {
    await servers.stop();
    servers = lab.outside.start([process.execPath, main('named-main'), '0.0.0.0', ...keys, 'quic']);
    await servers.prints(/serving/);
    const quic = lab.outside.start(['gtlsserver', '-q', OUTSIDE, '443', ...keys]);
    try {
      await until('the server to listen', async () =>
        (await lab.outside.run('ss', '-Hlun')).includes(':443') ? true : undefined,
      );
      const etc = lab.path('etc');
      mkdirSync(etc);
      writeFileSync(join(etc, 'hosts'), `${OUTSIDE} ${NAME} ${EVIL}\n`);
      const ask = async (name: string, version: string): Promise<string> => {
        const options = [
          ...['--version', version],
          '-q',
          '--timeout=3s',
          '--handshake-timeout=3s',
          '--exit-on-all-streams-close',
          '--no-quic-dump',
        ];
        const argv = ['gtlsclient', ...options, name, '443', `https://${name}/`];
        const { stdout, stderr, status } = await guest.try(...withEtc(etc, argv));
        return `${status} ${stdout}${stderr}`;
      };
      assert.match(await ask(NAME, 'v1'), /^0 /);
      await isNotDenied();
      await ask(EVIL, 'v1');
      await isDenied(/b\.test was not looked up/);
      await ask(NAME, 'v2draft');
      await isDenied(/^quic-unreadable/);
    } finally {
      await quic.stop();
    }
  });
});
