import type { IncomingMessage } from 'node:http';
import { type ProblemError, problem, quoted } from './problem.ts';

export const BODY_LIMIT = 65_536;

const tooLarge = (limit: number): ProblemError =>
  problem(413, `The body is larger than ${limit} bytes.`, { connection: 'close' });

/** Read at most `limit` bytes. Once, before the answer, so that keep-alive stays in sync. */
export async function readBody(
  request: IncomingMessage,
  limit: number = BODY_LIMIT,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await readChunks(request, limit, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks);
}

/**
 * As {@link readBody}, decoded as it comes: all at once would take long of a long one.
 *
 * @returns the text, or undefined when there is none
 * @throws ProblemError 415 for another media type, 400 for what is not UTF-8
 */
export async function readJsonText(
  request: IncomingMessage,
  limit: number = BODY_LIMIT,
): Promise<string | undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let wrong: ProblemError | undefined;
  await readChunks(request, limit, (chunk) => {
    try {
      text += decoder.decode(chunk, { stream: true });
    } catch (error) {
      wrong ??= notJson(error);
    }
  });
  if (text === '' && wrong === undefined) return undefined;
  requireJson(request.headers['content-type']);
  if (wrong !== undefined) throw wrong;
  return text + orNotJson(() => decoder.decode());
}

function readChunks(
  request: IncomingMessage,
  limit: number,
  onChunk: (chunk: Buffer) => void,
): Promise<void> {
  if (Number(request.headers['content-length'] ?? 0) > limit)
    return Promise.reject(tooLarge(limit));
  return new Promise((resolve, reject) => {
    let total = 0;
    request.on('data', (chunk: Buffer) => {
      total += chunk.length;
      if (total > limit) {
        request.pause();
        reject(tooLarge(limit));
      } else {
        onChunk(chunk);
      }
    });
    request.on('end', () => resolve());
    const onCut = (): void => reject(problem(400, 'The request ended before its body did.'));
    request.on('error', onCut); // the client aborted it
    request.on('close', onCut);
  });
}

/**
 * @returns the JSON object in `bytes`, or undefined when there are none
 * @throws ProblemError as {@link readJsonText}, and 400 for anything but an object
 */
export function parseJsonBody(bytes: Buffer, contentType: string | undefined): object | undefined {
  if (bytes.length === 0) return undefined;
  requireJson(contentType);
  const value: unknown = orNotJson(() =>
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
  );
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw problem(400, 'The body must be a JSON object.');
  }
  return value;
}

function requireJson(contentType: string | undefined): void {
  const mediaType = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType === 'application/json') return;
  throw problem(415, `The body is ${quoted(contentType ?? 'untyped')}: send application/json.`);
}

function orNotJson<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw notJson(error);
  }
}

function notJson(error: unknown): ProblemError {
  const why = error instanceof Error ? error.message : String(error);
  return problem(400, `The body is not JSON: ${quoted(why)}.`);
}
