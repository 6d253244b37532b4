import type { Log } from '../base/log.ts';
import type { ApiListener } from '../control/api-listener.ts';
import { type ApiAddress, serveControlApi } from '../control/control-api.ts';
import type { BindRule } from '../control/ports/bind-rules.ts';
import type { DaemonNetwork } from './daemon-network.ts';
import type { ServeApiOptions } from './network-interface.ts';
import { OptionsError, optionSentence } from './option-problem.ts';
import { parseApi, parseRule } from './option-values.ts';
import { packageVersion } from './version.ts';

/** Serve a network's control API, out of its guests' reach. */
export async function serveNetworkApi(
  options: ServeApiOptions,
  network: Pick<DaemonNetwork, 'view' | 'ports' | 'denyGuests' | 'attachConnection'>,
  log: Log,
): Promise<ApiListener> {
  checkServeOptions(options);
  const { address: text, tokenFile, name = 'default', bind, onShutdown = () => {} } = options;
  const { view, ports } = network;
  const address = apiAddress(text, tokenFile);
  const version = packageVersion();
  const rules = bind?.map(bindRule);
  const listener = await serveControlApi({
    ...{ address, name, version, view, ports, log, onShutdown },
    bind: rules,
    attach: (socket, framing) => {
      network.attachConnection(socket, framing, 'connect');
    },
  });
  if (listener.tcp !== undefined) network.denyGuests(listener.tcp.address, listener.tcp.port);
  return listener;
}

/** Check the argument of a program without types. */
function checkServeOptions({ address, tokenFile, name, bind, onShutdown }: ServeApiOptions): void {
  const isText = (value: unknown): boolean => typeof value === 'string';
  const isAbsentOr = (value: unknown, isRight: (value: unknown) => boolean): boolean =>
    value === undefined || isRight(value);
  const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
  const wrong = [
    { key: 'address', value: address, why: 'must be a text', holds: isText(address) },
    {
      key: 'tokenFile',
      value: tokenFile,
      why: 'must be a text',
      holds: isAbsentOr(tokenFile, isText),
    },
    { key: 'name', value: name, why: 'must be a text', holds: isAbsentOr(name, isText) },
    { key: 'bind', value: bind, why: 'must be a list of texts', holds: isAbsentOr(bind, isTexts) },
    {
      ...{ key: 'onShutdown', value: onShutdown, why: 'must be a function' },
      holds: isAbsentOr(onShutdown, (value) => typeof value === 'function'),
    },
  ].filter(({ holds }) => !holds);
  if (wrong.length > 0) throw new OptionsError(wrong.map(optionSentence));
}

function bindRule(text: string): BindRule {
  const rule = parseRule(text);
  if ('value' in rule) return rule.value;
  throw new OptionsError([`bind ${rule.problem}, got ${text}`]);
}

function apiAddress(text: string, tokenFile: string | undefined): ApiAddress {
  const api = parseApi(text);
  if ('problem' in api) throw new OptionsError([`address ${api.problem}, got ${text}`]);
  if (api.value.kind === 'unix') return api.value;
  if (tokenFile !== undefined) return { ...api.value, tokenFile };
  throw new OptionsError(['address is TCP: tokenFile must name a file with the bearer token']);
}
