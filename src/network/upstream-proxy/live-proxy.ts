/** The upstream proxies of a running network: read from its options, replaced as a whole, shown. */
import type { Log } from '../../base/log.ts';
import { type ProxyBook, ProxyError, type ProxyStateView } from '../../control/proxy-view.ts';
import type { ProxyRules } from '../../services/upstream-proxy/proxy-rules.ts';
import type { Guest } from '../../stack/guest.ts';
import { isRecord } from '../call-arguments.ts';
import type { UpstreamProxyConfig } from '../config.ts';
import { OptionsError, printable } from '../option-problem.ts';
import type { ProxyDocument } from './proxy-document.ts';
import type { ProxyParts } from './proxy-parts.ts';

/** What the options say, before there is a network. */
export interface StartProxy {
  readonly document: ProxyDocument;
  readonly rules: ProxyRules;
  readonly load: LoadParts;
}

export type LoadParts = typeof import('./proxy-parts.ts') & typeof import('./proxy-document.ts');

async function loadParts(): Promise<LoadParts> {
  const [parts, document] = await Promise.all([
    import('./proxy-parts.ts'),
    import('./proxy-document.ts'),
  ]);
  return { ...parts, ...document };
}

/** @throws OptionsError: there is no network that goes past the proxy that was asked for */
export async function readStartProxy(config: UpstreamProxyConfig): Promise<StartProxy | undefined> {
  const { servers, exclude, authFile, unnamed, names } = config;
  if (servers.length === 0) return undefined;
  const load = await loadParts();
  try {
    const document = load.readProxyDocument({
      ...{ upstreamProxy: servers, proxyExclude: exclude, proxyUnnamed: unnamed },
      ...(authFile === undefined ? {} : { proxyAuthFile: authFile }),
      ...(names === undefined ? {} : { proxyNames: names }),
    });
    const rules = load.proxyRules(document, process.env);
    return rules && { document, rules, load };
  } catch (error) {
    if (error instanceof ProxyError) throw new OptionsError(error.message.split('\n'));
    throw error;
  }
}

export interface LiveProxyDeps {
  readonly start: StartProxy | undefined;
  readonly makeParts: (load: LoadParts, rules: ProxyRules) => ProxyParts;
  readonly log: Log;
}

export class LiveProxy implements ProxyBook {
  private readonly deps: LiveProxyDeps;
  private document: ProxyDocument | undefined = undefined;
  private parts: ProxyParts | undefined = undefined;
  private load: LoadParts | undefined = undefined;
  private generation = 0;

  constructor(deps: LiveProxyDeps) {
    this.deps = deps;
    const { start } = deps;
    if (start === undefined) return;
    this.load = start.load;
    this.use(start.load, start.document, start.rules);
  }

  /** Undefined: there was no proxy yet. */
  get counts(): ProxyParts['counts'] | undefined {
    return this.parts?.counts;
  }

  /** A sentence, while something is wrong. */
  get problem(): string | undefined {
    return this.parts?.reach.problem;
  }

  get relayed(): ProxyParts['relayed'] | undefined {
    return this.parts?.relayed;
  }

  get budgets(): ProxyParts['budgets'] {
    return this.parts?.budgets ?? [];
  }

  /** The guest is gone for good. */
  forget(owner: Guest): void {
    this.parts?.forget(owner);
  }

  state(): ProxyStateView {
    const { generation, document, load } = this;
    if (document === undefined || load === undefined) return { generation, document: null };
    return { generation, document: { ...document, upstreamProxy: load.shownProxies(document) } };
  }

  async replace(value: unknown): Promise<ProxyStateView> {
    if (!isRecord(value)) {
      throw new ProxyError(`a document must be an object, got ${printable(value, true)}`);
    }
    const load = await loadParts();
    const document = load.readProxyDocument(value);
    const rules = load.proxyRules(document, process.env);
    this.use(load, document, rules);
    return this.state();
  }

  /** Read the file with the user name and the password again. @returns what is wrong with it */
  reload(): readonly string[] {
    const { load, document } = this;
    if (load === undefined || document === undefined) return [];
    try {
      this.use(load, document, load.proxyRules(document, process.env));
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  }

  close(): void {
    this.parts?.close();
  }

  private use(load: LoadParts, document: ProxyDocument, rules: ProxyRules | undefined): void {
    const { makeParts, log } = this.deps;
    this.load = load;
    this.document = rules === undefined ? undefined : document;
    this.generation++;
    if (rules !== undefined && this.parts === undefined) this.parts = makeParts(load, rules);
    this.parts?.use(rules, document.gatewayPorts);
    const proxies = load.shownProxies(document);
    log.info({ proxies, generation: this.generation }, 'upstream proxies in use');
  }
}
