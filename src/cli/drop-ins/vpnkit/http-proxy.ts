/** vpnkit's HTTP proxies: the document of `--http`, followed live, and of `--http-api-path`, as one of the network's. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as z from 'zod';
import { bindUnix } from '../../../control/api-listener.ts';
import type { ProxyBook } from '../../../control/proxy-view.ts';
import { readBody } from '../../../control/request-body.ts';
import { messageOf } from '../../../network/errors.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { followFile } from './follow-file.ts';

const PATH = '/http_proxy.json';
/** At the gateway: of http, and of https. */
const GATEWAY_PORTS = [3128, 3129];

interface HttpProxyDocument {
  readonly http?: string | null | undefined;
  readonly https?: string | null | undefined;
  readonly exclude?: string | null | undefined;
  readonly transparent_http_ports?: readonly number[] | undefined;
  readonly transparent_https_ports?: readonly number[] | undefined;
  readonly allow_enabled?: boolean | undefined;
}

const documentSchema = (): z.ZodType<HttpProxyDocument> => {
  const ports = z.array(z.int().min(1).max(65_535)).optional();
  const words = z.string().nullish();
  return z.object({
    ...{ http: words, https: words, exclude: words, allow_enabled: z.boolean().optional() },
    ...{ transparent_http_ports: ports, transparent_https_ports: ports },
  });
};

export interface Translated {
  /** Of the network; see `proxy-document.ts`. */
  readonly document: object;
  /** What there is no counterpart of. */
  readonly warning: string | undefined;
}

/** @throws Error that says what is wrong */
export function translateHttpProxy(text: string): Translated {
  if (text.trim() === '') return { document: { upstreamProxy: [] }, warning: undefined };
  const result = documentSchema().safeParse(JSON.parse(text));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new Error(`${issue?.path.join('.') || 'it'}: ${issue?.message}`);
  }
  const { http, https, exclude, allow_enabled, ...ports } = result.data;
  const document = {
    upstreamProxy: [...(http ? [`http=${http}`] : []), ...(https ? [`https=${https}`] : [])],
    proxyExclude: exclude ? [exclude] : [],
    httpPorts: ports.transparent_http_ports ?? [80],
    httpsPorts: ports.transparent_https_ports ?? [443],
    gatewayPorts: GATEWAY_PORTS,
  };
  const warning = allow_enabled === true ? 'allow_enabled: use hawser policy instead' : undefined;
  return { document, warning };
}

export class HttpProxies {
  private readonly proxies: ProxyBook;
  private readonly daemon: ServingDaemon;
  /** As it was given last. */
  private text = '';

  constructor(proxies: ProxyBook, daemon: ServingDaemon) {
    this.proxies = proxies;
    this.daemon = daemon;
  }

  /** The file is read before this returns. */
  async follow(path: string): Promise<void> {
    await followFile(path, 'HTTP proxies', this.daemon, (text) => this.use(text));
  }

  async serve(path: string): Promise<void> {
    const server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        end(response, 400, messageOf(error));
      });
    });
    server.maxConnections = 16;
    this.daemon.makeDirectoriesFor(path);
    await bindUnix(server, path, 'HTTP proxies');
    this.daemon.add({ close: () => void server.close() });
    this.daemon.own(path);
  }

  private async use(text: string): Promise<void> {
    const { document, warning } = translateHttpProxy(text);
    await this.proxies.replace(document);
    this.text = text;
    if (warning !== undefined) this.daemon.log.warn({}, `without effect: ${warning}`);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url } = request;
    response.setHeader('connection', 'close'); // one request for each connection
    if (url !== PATH) end(response, 404, 'Not Found');
    else if (method === 'GET') {
      if (this.text === '') end(response, 404, 'None set');
      else end(response, 200, this.text);
    } else if (method === 'POST') {
      await this.use((await readBody(request)).toString('utf8'));
      end(response, 200, '');
    } else end(response, 400, 'GET or POST');
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(text);
}
