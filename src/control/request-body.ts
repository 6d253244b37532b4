import type { IncomingMessage } from 'node:http';
import { type ProblemError, problem, quoted } from './problem.ts';

export const BODY_LIMIT = 65_536;

const tooLarge = (): ProblemError =>
  problem(413, `The body is larger than ${BODY_LIMIT} bytes.`, { connection: 'close' });

/** Read at most {@link BODY_LIMIT} bytes. Once, before the answer, so that keep-alive stays in sync. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT)
    return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    request.on('data', (chunk: Buffer) => {
      total += chunk.length;
      if (total > BODY_LIMIT) {
        request.pause();
        reject(tooLarge());
      } else {
        chunks.push(chunk);
      }
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    const onCut = (): void => reject(problem(400, 'The request ended before its body did.'));
    request.on('error', onCut); // the client aborted it
    request.on('close', onCut);
  });
}

/**
 * @returns the JSON object in `bytes`, or undefined when there are none
 * @throws ProblemError 415 for another media type, 400 for anything but an object
 */
export function parseJsonBody(bytes: Buffer, contentType: string | undefined): object | undefined {
  if (bytes.length === 0) return undefined;
  const mediaType = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    throw problem(415, `The body is ${quoted(contentType ?? 'untyped')}: send application/json.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw problem(400, `The body is not JSON: ${quoted(why)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw problem(400, 'The body must be a JSON object.');
  }
  return value;
}
