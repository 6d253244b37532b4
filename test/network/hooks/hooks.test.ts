/** Hooks of the embedding program, with a guest. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { Duplex, PassThrough, Readable } from 'node:stream';
import { type Log, SILENT } from '../../../src/base/log.ts';
import type { SimulatedGuest } from '../../../src/lab/guest/simulated-guest.ts';
import { createNetwork } from '../../../src/network/create-network.ts';
import type {
  DnsRequest,
  FlowAnswer,
  FlowRequest,
  NetworkHooks,
} from '../../../src/network/hooks/hooks.ts';
import type { NetworkOptions } from '../../../src/network/options.ts';
import { until } from '../../proxy/recording.ts';
import { duplexPair } from '../attached-guest.ts';
import { ServedGuest } from '../served-guest.ts';

const HOST = '192.168.127.254';

describe('network: hooks', () => {
  let served: ServedGuest;

  beforeEach(async () => {
    served = new ServedGuest();
    await served.serve();
  });
  afterEach(async () => {
    await served.close();
  });

  const start = (options: NetworkOptions & NetworkHooks): Promise<SimulatedGuest> =>
    served.start(options);
  const get = async (one: SimulatedGuest, where: string): Promise<number> =>
    (await one.download(`http://${where}/bytes/1000?seed=1`, () => {})).bytes;
  const count = (group: string, name: string): number =>
    served.network?.view.counters()[group]?.[name] ?? 0;

  it('are functions, and their time is a number', async () => {
    await assert.rejects(
      createNetwork({ onFlow: JSON.parse('"allow"') }),
      /onFlow must be a function, got "allow"/,
    );
    await assert.rejects(
      createNetwork({ hookTimeout: 0 }),
      /hookTimeout must be an integer from 1 to 60000, got 0/,
    );
  });

  describe('onFlow', () => {
    it('is asked about each connection, once, and allows it', async () => {
      const asked: FlowRequest[] = [];
      const onFlow = (flow: FlowRequest): FlowAnswer => {
        asked.push(flow);
        return 'allow';
      };
      const one = await start({ onFlow });
      assert.equal(await get(one, `${HOST}:${served.port}`), 1000);
      assert.equal(asked.length, 1);
      const [flow] = asked;
      assert.deepEqual(
        [flow?.protocol, flow?.guestAddress, flow?.remoteAddress, flow?.remotePort, flow?.rule],
        ['tcp', '192.168.127.2', HOST, served.port, null],
      );
      assert.ok(flow !== undefined && flow.guestId > 0 && flow.guestMac !== null);
    });

    const denials: [string, NetworkHooks, string][] = [
      ['says so', { onFlow: () => 'deny' }, 'asked'],
      ['says so later', { onFlow: () => Promise.resolve('deny') }, 'asked'],
      ['throws', { onFlow: () => assert.fail('broken') }, 'failed'],
      ['rejects', { onFlow: () => Promise.reject(new Error('broken')) }, 'failed'],
      ['answers nonsense', { onFlow: () => JSON.parse('"perhaps"') }, 'failed'],
      ['redirects to nowhere', { onFlow: () => ({ redirect: 'no port' }) }, 'failed'],
      ['never answers', { onFlow: () => new Promise(() => {}), hookTimeout: 30 }, 'late'],
    ];
    for (const [how, hooks, counted] of denials) {
      it(`denies, where it ${how}: soon, and told`, async () => {
        const one = await start(hooks);
        const blocks: (string | null)[] = [];
        served.network?.on('block', ({ block }) => blocks.push(block.why, block.rule));
        const began = performance.now();
        await assert.rejects(get(one, `${HOST}:${served.port}`));
        assert.ok(performance.now() - began < 1_000);
        assert.equal(count('hooks', `onFlow-${counted}`), 1);
        await until(() => blocks.length === 2);
        assert.equal(blocks[0], 'program');
        assert.match(
          blocks[1] ?? '',
          /^onFlow (denies it|has failed|has not answered within 30 ms)$/,
        );
        assert.equal(count('refusals', 'tcp-program'), 1);
      });
    }

    it('redirects, to an address and to a name', async () => {
      let redirect = `127.0.0.1:${served.port}`;
      const one = await start({ onFlow: () => ({ redirect }) });
      assert.equal(await get(one, `${HOST}:81`), 1000);
      redirect = `localhost:${served.port}`;
      assert.equal(await get(one, `${HOST}:82`), 1000);
    });

    it('is the server itself, by a Duplex, and the flow is in the book', async () => {
      const http = createServer((request, response) => {
        response.end(`hello ${request.headers.host}`);
      });
      let services: (string | null)[] = [];
      const one = await start({
        onFlow: async ({ remotePort }) => {
          const [ours, theirs] = duplexPair();
          http.emit('connection', theirs);
          http.once('request', () => {
            services = served.network?.view.flows().map(({ service }) => service) ?? [];
          });
          return remotePort === 81 ? ours : 'deny';
        },
      });
      assert.equal(await one.text(`http://${HOST}:81/`), `hello ${HOST}`);
      assert.deepEqual(services, ['program']);
      await until(() => served.network?.view.flows().length === 0);
    });

    it('a Duplex that fails resets the guest; one that comes too late is destroyed', async () => {
      const failing = new Duplex({
        read() {},
        write: (_chunk, _encoding, done) => done(new Error('broken')),
      });
      const late = new Duplex({ read() {} });
      let answer: Promise<Duplex> = Promise.resolve(failing);
      const one = await start({ onFlow: () => answer, hookTimeout: 20 });
      await assert.rejects(get(one, `${HOST}:80`));
      let resolve = (_duplex: Duplex): void => {};
      answer = new Promise((done) => {
        resolve = done;
      });
      await assert.rejects(get(one, `${HOST}:80`));
      resolve(late);
      await until(() => late.destroyed);
    });

    it('a Duplex of objects or of text is no answer, and destroyed', async () => {
      const objects = new Duplex({ objectMode: true, read() {} });
      objects.push({ no: 'bytes' });
      const text = new Duplex({ read() {} }).setEncoding('latin1');
      const streams = [objects, text];
      const one = await start({
        onFlow: () => streams.find(({ destroyed }) => !destroyed) ?? 'allow',
      });
      for (const stream of streams) {
        await assert.rejects(get(one, `${HOST}:80`));
        assert.ok(stream.destroyed);
      }
    });

    describe('a Duplex that cannot be the server resets the guest, and the log says why', () => {
      const whys: string[] = [];
      const log: Log = {
        ...SILENT,
        error: (fields) => whys.push(String(Reflect.get(fields, 'err'))),
      };
      beforeEach(() => {
        whys.length = 0;
      });
      const IN_USE =
        'TypeError: it answered a Duplex: the stream is in use already, by a link or a flow';

      it('that of another flow, which goes on', async () => {
        const http = createServer((_request, response) => {
          response.writeHead(200, { 'content-length': 12 }).write('begun, ');
          finish = (): void => void response.end('ended');
          begun();
        });
        let finish = (): void => {};
        let begun = (): void => {};
        const isBegun = new Promise<void>((resolve) => {
          begun = resolve;
        });
        const [ours, theirs] = duplexPair();
        http.emit('connection', theirs);
        const one = await served.start({ onFlow: () => ours }, log);
        const first = one.text(`http://${HOST}:80/`);
        await isBegun;
        await assert.rejects(get(one, `${HOST}:81`));
        assert.deepEqual(whys, [IN_USE]);
        assert.throws(() => served.network?.attach(ours), /in use already/);
        finish();
        assert.equal(await first, 'begun, ended');
        await assert.rejects(get(one, `${HOST}:82`));
        assert.deepEqual(whys, [IN_USE, IN_USE]);
        assert.equal(count('hooks', 'onFlow-failed'), 2);
      });

      it('that of a link, which goes on', async () => {
        const [card] = duplexPair();
        const one = await served.start({ onFlow: () => card }, log);
        served.network?.attach(card);
        await assert.rejects(get(one, `${HOST}:80`));
        assert.deepEqual(whys, [IN_USE]);
        assert.equal(card.destroyed, false);
        assert.equal(served.network?.view.info().links.length, 2);
      });

      for (const [what, made] of [
        ['one that is destroyed', () => new PassThrough().destroy()],
        ['one that has ended', () => new PassThrough().end()],
        ['one that is read only', () => Duplex.from(Readable.from([Buffer.from('x')]))],
      ] as const) {
        it(what, async () => {
          const one = await served.start({ onFlow: made }, log);
          await assert.rejects(get(one, `${HOST}:80`));
          const why = 'TypeError: it answered a Duplex: it must be readable and writable';
          assert.deepEqual(whys, [why]);
        });
      }
    });

    it('a Duplex ends with the network', async () => {
      const server = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
      const one = await start({ onFlow: () => server });
      const ended = assert.rejects(get(one, `${HOST}:80`));
      await until(
        () => served.network?.view.flows().some(({ bytesToHost }) => bytesToHost > 0) === true,
      );
      await served.network?.close();
      await until(() => server.destroyed);
      await ended;
    });

    it('is not asked about what the policy denies, nor about the services of the gateway', async () => {
      const asked: string[] = [];
      const onFlow = ({ remoteAddress, rule }: FlowRequest): FlowAnswer => {
        asked.push(`${remoteAddress} ${rule}`);
        return 'allow';
      };
      const allow = [`host:${served.port}`, 'gateway'];
      const one = await start({ onFlow, allow, guestApi: true });
      assert.equal(await get(one, `${HOST}:${served.port}`), 1000);
      await assert.rejects(get(one, `${HOST}:80`));
      await one.download('http://192.168.127.1/v1/ports', () => {});
      assert.deepEqual(asked, [`${HOST} allow host:${served.port}`]);
    });
  });

  describe('onDns', () => {
    it('answers a name with addresses, or that it does not exist; what is ours it is not asked', async () => {
      const asked: DnsRequest[] = [];
      const one = await start({
        onDns: async (query) => {
          asked.push(query);
          return query.name === 'a.test' ? ['198.51.100.1', '2001:db8::1'] : 'deny';
        },
      });
      assert.equal(await one.resolve('a.test'), '198.51.100.1');
      assert.equal(await one.resolve('b.test'), '');
      assert.equal(await one.resolve('host.containers.internal'), HOST);
      assert.deepEqual(
        asked.map(({ name, type }) => `${name} ${type}`),
        ['a.test A', 'b.test A'],
      );
    });

    it('denies where it fails, and is counted', async () => {
      const one = await start({ onDns: () => assert.fail('broken') });
      assert.equal(await one.resolve('a.test'), '');
      assert.ok(count('hooks', 'onDns-failed') > 0);
    });
  });

  describe('onPublishedClient', () => {
    const answer = async (at: number): Promise<string> => {
      const socket = connect(at, '127.0.0.1');
      socket.end('GET /bytes/5?seed=1 HTTP/1.0\r\n\r\n');
      let text = '';
      try {
        for await (const chunk of socket) text += String(chunk);
      } catch (error) {
        return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
      }
      return text;
    };

    for (const [how, verdict] of [
      ['at once', 'allow'],
      ['later', Promise.resolve('allow' as const)],
    ] as const) {
      it(`lets a client in ${how}, and nothing of it is lost`, async () => {
        const one = await start({ onPublishedClient: () => verdict });
        const port = await one.serve();
        const [published] = (await served.network?.publish(`127.0.0.1:0:${port}`)) ?? [];
        assert.match(await answer(published?.hostPort ?? 0), /^HTTP\/1\.1 200 /);
      });
    }

    it('resets a client that it denies, or has no answer for', async () => {
      let verdict: Promise<'deny'> = Promise.resolve('deny');
      const one = await start({ onPublishedClient: () => verdict, hookTimeout: 20 });
      const port = await one.serve();
      const [published] = (await served.network?.publish(`127.0.0.1:0:${port}`)) ?? [];
      assert.equal(await answer(published?.hostPort ?? 0), 'ECONNRESET');
      verdict = new Promise(() => {});
      assert.equal(await answer(published?.hostPort ?? 0), 'ECONNRESET');
      assert.equal(count('hooks', 'onPublishedClient-late'), 1);
    });
  });
});
