import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { FaultWatch } from '../../../src/base/faults.ts';
import { SILENT } from '../../../src/base/log.ts';
import { ConnectedSocket } from '../../../src/proxy/udp/connected-socket.ts';
import { until } from '../dns/lab.ts';

const MODULE = new URL('../../../src/proxy/udp/connected-socket.js', import.meta.url).href;

describe('proxy/udp/connected-socket', () => {
  let sockets: ConnectedSocket[];
  let peer: Socket;
  let got: string[];
  let failures: string[];
  let broken: boolean;

  beforeEach(async () => {
    sockets = [];
    got = [];
    failures = [];
    broken = false;
    peer = createSocket('udp4', (bytes, from) => peer.send(bytes, from.port, from.address));
    await new Promise<void>((resolve) => peer.bind(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    for (const socket of sockets) socket.close();
    peer.close();
  });

  function connect(address: string, port: number): ConnectedSocket {
    const socket = new ConnectedSocket(address, port, {
      onMessage: (bytes) => {
        if (broken) throw new Error('broken');
        got.push(bytes.toString());
      },
      onFailure: (code) => failures.push(code),
    });
    sockets.push(socket);
    return socket;
  }

  it('sends at once, and hears its peer', async () => {
    connect('127.0.0.1', peer.address().port).send(Buffer.from('there and back'));
    await until(() => got.length === 1);
    assert.deepEqual([got, failures], [['there and back'], []]);
  });

  for (const [what, address, code] of [
    ['a zone that is gone', 'fe80::1%gone0', /EINVAL|ENXIO|ENODEV/],
    ['a broadcast address', '255.255.255.255', /EACCES|ENETUNREACH/],
    ['no address at all', 'nonsense', /EINVAL/],
  ] as const) {
    it(`${what} is a failure, reported later, and nothing is thrown`, async () => {
      const socket = connect(address, 53);
      socket.send(Buffer.from('x'));
      assert.deepEqual(failures, []);
      await until(() => failures.length > 0);
      assert.match(failures[0] ?? '', code);
      socket.send(Buffer.from('x'));
      socket.close();
      socket.close();
    });
  }

  it('a refusal is a failure, after which it goes on', async () => {
    const { port } = peer.address();
    peer.close();
    const socket = connect('127.0.0.1', port);
    socket.send(Buffer.from('x'));
    await until(() => failures.includes('ECONNREFUSED'));
    peer = createSocket('udp4', (bytes, from) => peer.send(bytes, from.port, from.address));
    await new Promise<void>((resolve) => peer.bind(port, '127.0.0.1', resolve));
    await until(() => {
      socket.send(Buffer.from('again'));
      return got.length > 0;
    });
  });

  it('a receiver that throws is a fault, and ends the socket as a failure', async () => {
    const watch = new FaultWatch(SILENT);
    broken = true;
    connect('127.0.0.1', peer.address().port).send(Buffer.from('x'));
    await until(() => failures.length > 0);
    assert.deepEqual(failures, ['EFAULT']);
    assert.equal(watch.counts.get('datagram'), 1);
    watch.close();
  });

  it('no descriptor left: EMFILE', () => {
    const script = `import { ConnectedSocket } from '${MODULE}';
      const all = [];
      const next = () => {
        const socket = new ConnectedSocket('127.0.0.1', 9, {
          onMessage() {},
          onFailure(code) { if (code !== 'EMFILE') return; all.forEach((s) => s.close()); console.log(code); },
        });
        all.push(socket);
        socket.send(Buffer.from('x'));
        if (all.length < 100) next();
      };
      next();`;
    const argv = ['-c', `ulimit -n 60; exec "$0" --input-type=module -e "$1"`];
    const said = execFileSync('sh', [...argv, process.execPath, script], { encoding: 'utf8' });
    assert.match(said, /^EMFILE/);
  });
});
