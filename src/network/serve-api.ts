import * as z from 'zod';
import type { Log } from '../base/log.ts';
import { once } from '../base/once.ts';
import type { ApiListener } from '../control/api-listener.ts';
import { type ApiAddress, serveControlApi } from '../control/control-api.ts';
import type { BindRule } from '../control/ports/bind-rules.ts';
import { anyText, readArgument } from './call-arguments.ts';
import type { DaemonNetwork } from './daemon-network.ts';
import type { ServeApiOptions } from './network-interface.ts';
import { OptionsError } from './option-problem.ts';
import { parseApi, parseRule } from './option-values.ts';
import { packageVersion } from './version.ts';

/** Serve a network's control API, out of its guests' reach. */
export async function serveNetworkApi(
  options: ServeApiOptions,
  network: Pick<DaemonNetwork, 'view' | 'ports' | 'denyGuests' | 'attachConnection'>,
  log: Log,
): Promise<ApiListener> {
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

const serveSchema = once(() =>
  z.strictObject({
    address: anyText(),
    tokenFile: anyText().optional(),
    name: anyText().optional(),
    bind: z.array(anyText(), 'must be a list of texts').optional(),
    onShutdown: z.custom<() => void>(isFunction, 'must be a function').optional(),
  }),
);

const isFunction = (value: unknown): boolean => typeof value === 'function';

/** @throws OptionsError for those of a program without types */
export function readServeOptions(given: unknown): ServeApiOptions {
  const read = readArgument(serveSchema(), given);
  if ('value' in read) return read.value;
  throw new OptionsError(read.problems.map((problem) => problem.text));
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
