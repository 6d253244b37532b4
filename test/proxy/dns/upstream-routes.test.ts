import assert from 'node:assert/strict';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import { SERVFAIL } from '../../../src/services/dns/message.ts';
import { a, dataOf, queryBytes, rcodeOf, replyBytes } from '../../services/dns/dns-wire.ts';
import { FakeUpstream, makeForwarder, resolve } from './lab.ts';

describe('servers of domains', () => {
  let general: FakeUpstream;
  let corp: FakeUpstream;
  let lab: FakeUpstream;
  let forwarder: DnsForwarder;

  const says = async (data: string): Promise<FakeUpstream> =>
    await new FakeUpstream((query) => [replyBytes(query, { answers: [a('x', data)] })]).start();

  beforeEach(async () => {
    [general, corp, lab] = [
      await says('192.0.2.1'),
      await says('192.0.2.2'),
      await says('192.0.2.3'),
    ];
    forwarder = makeForwarder({
      upstreams: [general.server],
      domains: [
        { domain: 'corp.example', upstream: corp.server },
        { domain: 'lab.corp.example', upstream: lab.server },
        { domain: '10.in-addr.arpa', upstream: corp.server },
      ],
      timing: { attemptMs: 20, deadlineMs: 300 },
    });
  });
  afterEach(() => {
    forwarder.close();
    for (const server of [general, corp, lab]) server.stop();
  });

  const ROWS: readonly (readonly [string, string, '1' | '2' | '3'])[] = [
    ['the domain itself', 'corp.example', '2'],
    ['what is below it', 'a.b.corp.example', '2'],
    ['any case', 'A.CORP.Example', '2'],
    ['a longer domain', 'a.lab.corp.example', '3'],
    ['a name that only ends like it', 'acorp.example', '1'],
    ['its parent', 'example', '1'],
  ];
  for (const [what, name, server] of ROWS) {
    it(`${what}: ${name} is asked of server ${server}`, async () => {
      const reply = await resolve(forwarder, queryBytes(name));
      assert.deepEqual(dataOf(reply), [`192.0.2.${server}`]);
    });
  }

  it('are asked for names of addresses', async () => {
    await resolve(forwarder, queryBytes('1.2.3.10.in-addr.arpa', 'PTR'));
    assert.equal(corp.seen.length, 1);
  });

  it('are the only ones that are told of a name, whatever becomes of it', async () => {
    corp.behave = (query) => [replyBytes(query, { rcode: SERVFAIL })];
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes('a.corp.example'))), SERVFAIL);
    corp.behave = () => [];
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes('b.corp.example'))), SERVFAIL);
    assert.equal(general.seen.length + lab.seen.length, 0);
  });

  it('several: the next where one does not answer', async () => {
    forwarder.close();
    corp.behave = () => [];
    forwarder = makeForwarder({
      upstreams: [general.server],
      domains: [corp, lab].map(({ server: upstream }) => ({ domain: 'corp.example', upstream })),
      timing: { attemptMs: 20, deadlineMs: 1500 },
    });
    const reply = await resolve(forwarder, queryBytes('a.corp.example'));
    assert.deepEqual(dataOf(reply), ['192.0.2.3']);
    assert.equal(general.seen.length, 0);
  });
});
