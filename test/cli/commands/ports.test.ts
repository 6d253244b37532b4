import assert from 'node:assert/strict';
import { exposeCommand, portsCommand, unexposeCommand } from '../../../src/cli/commands/ports.ts';
import { freePorts } from '../../support/free-port.ts';
import { ServedNetwork } from '../served-network.ts';

describe('hawser expose, unexpose', () => {
  let served: ServedNetwork;
  let first: number;

  beforeEach(async () => {
    served = await new ServedNetwork().serve();
    first = await freePorts(3);
  });
  afterEach(() => served.close());

  const request = () => ({
    ...{ name: 'default', api: `unix:${served.path}`, apiTokenFile: undefined, json: false },
  });
  const expose = (...ports: readonly string[]): Promise<string> =>
    exposeCommand({
      ...{ ...request(), ports },
      ...{ sourceAddress: undefined, proxyProtocol: undefined, via: undefined },
    });
  const unexpose = (...ports: readonly string[]): Promise<string> =>
    unexposeCommand({ ...request(), ports });
  const listed = (): Promise<string> => portsCommand(request());

  for (const [how, host, protocol] of [
    ['of the loopback', '127.0.0.1:', ''],
    ['of UDP', '127.0.0.1:', '/udp'],
    ['of one of the loopbacks, whichever it is', '', ''],
  ] as const) {
    it(`a range is withdrawn as it was published: ${how}`, async () => {
      const range = `${host || '127.0.0.1:'}${first}-${first + 2}`;
      await expose(`${range}:80-82${protocol}`);
      const ended = await unexpose(`${host}${first}-${first + 2}${protocol}`);
      const names = [0, 1, 2].map((i) => `127.0.0.1:${first + i}${protocol || '/tcp'} withdrawn\n`);
      assert.equal(ended, names.join(''));
      assert.match(await listed(), /^No published ports/);
    });
  }

  it('a range of which one is not published stays, and it says which', async () => {
    await expose(`127.0.0.1:${first}:80`, `127.0.0.1:${first + 2}:82`);
    await assert.rejects(unexpose(`127.0.0.1:${first}-${first + 2}`), {
      message: `127.0.0.1:${first + 1} is not published: see "hawser ports" for what is`,
    });
    assert.match(await listed(), new RegExp(`${first}/tcp[^]*${first + 2}/tcp`));
  });

  it('what is no range is not published either', async () => {
    for (const text of ['9-8', '1-70000', '1-', '127.0.0.1:1-2/sctp', 'unix:/a:1-2']) {
      await assert.rejects(unexpose(text), {
        message: `${text} is not published: see "hawser ports" for what is`,
      });
    }
  });
});
