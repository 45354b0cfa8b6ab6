// JSON Web Tokens by node:crypto alone, good ones and forged ones.

import { createHmac, randomUUID, sign } from 'node:crypto';

export const SECRET = 'e2e-secret-0123456789abcdef0123456789abcdef';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
export const seconds = () => Math.floor(Date.now() / 1000);

// token mints an access token as the original's login does (contract 1.0). Claims set to undefined are left out.
export function token(claims = {}, { alg = 'HS256', key = SECRET, header = {} } = {}) {
  const body = {
    sub: 'u1', email: 'u1@example.test', role: 'attorney', type: 'access',
    jti: randomUUID(), iat: seconds(), exp: seconds() + 900, ...claims,
  };
  const text = `${part({ alg, typ: 'JWT', ...header })}.${part(body)}`;
  return `${text}.${signature(alg, key, Buffer.from(text)).toString('base64url')}`;
}

function signature(alg, key, text) {
  switch (alg) {
    case 'none': return Buffer.alloc(0);
    case 'HS256': return createHmac('sha256', key).update(text).digest();
    case 'RS256': return sign('sha256', text, key);
    case 'ES256': return sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA': return sign(null, text, key);
    default: throw new Error(`no such algorithm here: ${alg}`);
  }
}

let count = 0;

// someone is a user id that no other test has, so that limits per user never meet.
export const someone = (name = 'user') => `${name}-${process.pid}-${++count}`;

// tokenOf is an access token of a user for every case.
export const tokenOf = (user, scope = 'case:*') => token({ sub: user, scope });
