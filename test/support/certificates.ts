/** An authority of TLS, and what it certifies, made by OpenSSL for one test. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths. */
export interface Certified {
  readonly key: string;
  readonly certificate: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority {
  readonly own: Certified;
  private readonly directory: string;

  /** @param name of its files in `directory` */
  constructor(directory: string, name = 'authority') {
    this.directory = directory;
    this.own = this.make(name, [`/CN=${name}`, '-addext', 'keyUsage=keyCertSign']);
  }

  /** @param names `IP:127.0.0.1`, `DNS:api.test` */
  certify(name: string, subject: string, ...names: readonly string[]): Certified {
    const { key, certificate } = this.own;
    const alternatives = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`];
    const by = ['-CA', certificate, '-CAkey', key, '-addext', 'basicConstraints=critical,CA:FALSE'];
    return this.make(name, [subject, ...alternatives, ...by]);
  }

  private make(name: string, subject: readonly string[]): Certified {
    const key = join(this.directory, `${name}.key`);
    const certificate = join(this.directory, `${name}.crt`);
    const files = ['-keyout', key, '-out', certificate];
    const argv = ['req', '-x509', ...KEY, '-days', '1', ...files, '-subj', ...subject];
    execFileSync('openssl', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    return { key, certificate };
  }
}

/** As a kubeconfig holds files. */
export const base64Of = (path: string): string => readFileSync(path).toString('base64');
