/** A dial of a link that nothing answers: the listener's queue is full, and its kernel drops SYNs. */
import assert from 'node:assert/strict';
import { type Log, SILENT } from '../../src/base/log.ts';
import { MuxPeers } from '../../src/proxy/agent/peers.ts';
import { dialStream } from '../../src/transports/mux/stream-links.ts';
import { NodeClock } from '../../src/transports/node-clock.ts';
import { QemuConnector } from '../../src/transports/qemu-connector.ts';
import { FullListener } from '../support/full-listener.ts';
import { describeNeeding } from '../support/requirements.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

const LIMIT_MS = 50;
const LINK = { name: 'tcp', order: 0 };

describeNeeding('transports: a dial without an answer', ['linux'], () => {
  let full: FullListener;
  let log: Log;
  let failed: Promise<object[]>;

  beforeEach(async () => {
    full = await FullListener.start();
    failed = new Promise((resolve) => {
      const lines: object[] = [];
      const debug = (fields: object): void => {
        if (lines.push(fields) === 1) resolve(lines);
      };
      log = { ...SILENT, debug };
    });
  });
  afterEach(() => full.close());

  it('of qemu-connect: is given up, and the link is there once there is an answer', async () => {
    const acceptor = new RecordingAcceptor();
    const context = { ...contextFor(acceptor), log };
    const address = { host: '127.0.0.1', port: full.port };
    const connector = new QemuConnector(address, context, LIMIT_MS);
    const [line] = await failed;
    assert.deepEqual(line, { link: connector.description, error: 'ETIMEDOUT' });
    full.accept();
    const link = await acceptor.link(0);
    await connector.close();
    assert.equal(link.downs, 1);
  });

  it("of a multiplexer's link likewise", async () => {
    let up: () => void = () => {};
    const connected = new Promise<void>((resolve) => {
      up = resolve;
    });
    const peers = new MuxPeers({ clock: new NodeClock(), log: SILENT, onRequest: () => {} });
    const add = peers.addSocket.bind(peers);
    peers.addSocket = (...args) => {
      up();
      return add(...args);
    };
    const link = dialStream(LINK, { host: '127.0.0.1', port: full.port }, { peers, log }, LIMIT_MS);
    await failed;
    assert.equal(link.problem, `no answer within ${LIMIT_MS} ms`);
    full.accept();
    await connected;
    assert.equal(link.state, 'connected');
    await link.close();
    peers.close();
  });

  it('ends with its link', async () => {
    const peers = new MuxPeers({ clock: new NodeClock(), log: SILENT, onRequest: () => {} });
    const sockets = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const before = sockets();
    const address = { host: '127.0.0.1', port: full.port };
    const link = dialStream(LINK, address, { peers, log }, 600_000);
    assert.equal(sockets(), before + 1);
    await link.close();
    while (sockets() > before) await new Promise(setImmediate);
  });
});
