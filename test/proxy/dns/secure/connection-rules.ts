/** What holds of a connection to an upstream over TLS, whatever is spoken on it. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type { ResolutionTiming } from '../../../../src/proxy/dns/resolution.ts';
import type { DnsUpstream } from '../../../../src/services/dns/resolv-conf.ts';
import { dig } from '../bind.ts';
import { until } from '../lab.ts';
import type { Relay } from './relay.ts';

export interface ConnectionLab {
  /** The one of this test. */
  relay(): Relay;
  /** Another one in its place. */
  renewRelay(): Relay;
  /** Where a forwarder is asked that has these upstreams. */
  guestOf(upstreams: readonly DnsUpstream[], timing?: ResolutionTiming): Promise<DnsUpstream>;
}

export function itKeepsAConnection({ relay, renewRelay, guestOf }: ConnectionLab): void {
  const statusOf = async (server: DnsUpstream, name: string): Promise<string> =>
    (await dig(server, [name])).status;

  it('is asked again on a new connection where one that worked has been cut', async () => {
    const server = await guestOf([await relay().start()]);
    assert.equal(await statusOf(server, 'www.test.example'), 'NOERROR');
    relay().cut();
    assert.equal(await statusOf(server, 'v4only.test.example'), 'NOERROR');
    assert.equal(relay().connections.length, 2);
  });

  it('is left for a new connection where one that worked has gone silent', async () => {
    const server = await guestOf([await relay().start()]);
    assert.equal(await statusOf(server, 'www.test.example'), 'NOERROR');
    relay().connections[0]?.unpipe();
    assert.equal(await statusOf(server, 'v4only.test.example'), 'NOERROR');
    assert.equal(relay().connections.length, 2);
  });

  it('is used again where it was slow, and answers', async () => {
    relay().delayMs = 1100; // for the handshake, and for the answer
    const upstreams = [await relay().start()];
    const server = await guestOf(upstreams, { attemptMs: 1000, deadlineMs: 10_000 });
    for (const name of ['www', 'v4only', 'nothing']) {
      const { status } = await dig(server, [`${name}.test.example`, '+time=10']);
      assert.match(status, /NOERROR|NXDOMAIN/);
    }
    const { connections } = relay();
    assert.ok(connections.length > 1, 'it was never taken for silent');
    await until(() => connections.every((connection, i) => isOpen(connection) === (i === 0)));
  });

  it('is asked where it comes up after hawser', async () => {
    const upstream = await relay().start();
    await relay().stop();
    const server = await guestOf([upstream]);
    assert.equal(await statusOf(server, 'www.test.example'), 'SERVFAIL');
    await renewRelay().start(upstream.port);
    assert.equal(await statusOf(server, 'www.test.example'), 'NOERROR');
  });
}

const isOpen = ({ destroyed, readableEnded }: Socket): boolean => !destroyed && !readableEnded;
