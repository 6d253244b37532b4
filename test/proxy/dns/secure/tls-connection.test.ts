import assert from 'node:assert/strict';
import type { DnsForwarder } from '../../../../src/proxy/dns/forwarder.ts';
import type { ResolutionTiming } from '../../../../src/proxy/dns/resolution.ts';
import type { DnsUpstream } from '../../../../src/services/dns/resolv-conf.ts';
import { describeNeeding } from '../../../support/requirements.ts';
import { Bind, dig, serve } from '../bind.ts';
import { makeForwarder } from '../lab.ts';
import { itKeepsAConnection } from './connection-rules.ts';
import { Relay } from './relay.ts';

const TIMING = { attemptMs: 1000, deadlineMs: 2500 };

describeNeeding('an upstream by DNS over TLS', ['named', 'dig', 'openssl'], () => {
  let bind: Bind;
  let relay: Relay;
  const closing: (() => void)[] = [];

  before(async () => {
    bind = await Bind.start();
  });
  after(() => bind.stop());
  beforeEach(() => {
    relay = new Relay(bind.tlsServer);
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) close();
    await relay.stop().catch(() => {});
  });

  async function guestOf(
    upstreams: readonly DnsUpstream[],
    timing: ResolutionTiming = TIMING,
  ): Promise<DnsUpstream> {
    const forwarder: DnsForwarder = makeForwarder({
      upstreams,
      tlsAuthorities: bind.certificate,
      timing,
    });
    const { server, close } = await serve(forwarder);
    closing.push(close, () => forwarder.close());
    return server;
  }

  it('answers by UDP and TCP, on one connection that no name can be read from', async () => {
    const server = await guestOf([await relay.start()]);
    const names = ['www', 'v4only', 'mail', 'alias'];
    const asked = names.map((name, i) =>
      dig(server, [`${name}.test.example`, i % 2 === 0 ? '+notcp' : '+tcp']),
    );
    for (const { status } of await Promise.all(asked)) assert.equal(status, 'NOERROR');
    assert.equal((await dig(server, ['nothing.test.example'])).status, 'NXDOMAIN');
    assert.equal(relay.connections.length, 1);
    assert.equal(relay.bytesToServer.includes('v4only'), false);
  });

  itKeepsAConnection({
    relay: () => relay,
    renewRelay: () => {
      relay = new Relay(bind.tlsServer);
      return relay;
    },
    guestOf,
  });

  for (const tlsName of ['other.example', '127.0.0.1']) {
    it(`is told nothing where its certificate is not for ${tlsName}`, async () => {
      const server = await guestOf([{ ...(await relay.start()), tlsName }]);
      assert.equal((await dig(server, ['www.test.example'])).status, 'SERVFAIL');
      assert.ok(relay.connections.length > 0);
    });
  }

  it('is never asked in the clear', async () => {
    const server = await guestOf([{ ...bind.server, tlsName: 'dns.example' }]);
    assert.equal((await dig(server, ['www.test.example'])).status, 'SERVFAIL');
  });

  it('gives way to the next where it cannot be reached', async () => {
    const upstream = await relay.start();
    await relay.stop();
    const server = await guestOf([upstream, bind.tlsServer]);
    assert.equal((await dig(server, ['www.test.example'])).status, 'NOERROR');
  });
});
