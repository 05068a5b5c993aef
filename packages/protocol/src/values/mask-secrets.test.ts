import { describe, expect, test } from 'vitest'
import { maskSecrets } from './mask-secrets.ts'

describe('secrets in a text', () => {
  test.each([
    ['GET https://ana:hunter2@host/path failed', 'GET https://***@host/path failed'],
    ['GET https://hunter2@host/path', 'GET https://***@host/path'],
    ['https://host/a?x=1&token=hunter2&y=2', 'https://host/a?x=1&token=***&y=2'],
    ['https://host/a?X-Amz-Signature=hunter2#top', 'https://host/a?X-Amz-Signature=***#top'],
    ['https://host/a?key=hunter2', 'https://host/a?key=***'],
    ['access_token=hunter2; other=1', 'access_token=***; other=1'],
    ['password="hunter2 and more"', 'password=***'],
    ['{"apiKey":"hunter2","n":1}', '{"apiKey":"***","n":1}'],
    ["{ token: 'hunter2', n: 1 }", "{ token: '***', n: 1 }"],
    ['Authorization: Bearer hunter2hunter2', 'Authorization: Bearer ***'],
    ['mongodb+srv://ana:hunter2@host/db', 'mongodb+srv://***@host/db'],
    ['design=5 and signal=6, author: x, key: "k"', 'design=5 and signal=6, author: x, key: "k"'],
    ['user@example.com wrote to http://host/x@y', 'user@example.com wrote to http://host/x@y'],
    ['{\\"password\\":\\"hunter2\\"}', '{\\"password\\":\\"***\\"}'],
    ['https://host/a?sig=hunter2&key=hunter2&n=1', 'https://host/a?sig=***&key=***&n=1'],
    [
      'https://b.s3.amazonaws.com/k?X-Amz-Credential=hunter2&X-Amz-Security-Token=hunter2&X-Amz-Date=1',
      'https://b.s3.amazonaws.com/k?X-Amz-Credential=***&X-Amz-Security-Token=***&X-Amz-Date=1',
    ],
    ['authorization: Digest user=hunter2, response=hunter2\r\nhost: a', 'authorization: ***\r\nhost: a'],
    ['sent Authorization: Basic aHVudGVyMg== and got 401', 'sent Authorization: Basic *** and got 401'],
    ['Cookie: sid=hunter2; theme=dark\nnext', 'Cookie: ***\nnext'],
    ['set-cookie: id=hunter2; HttpOnly', 'set-cookie: ***'],
    ['x-api-key: hunter2, accept: */*', 'x-api-key: ***, accept: */*'],
    ['{"headers":{"x-api-key":"hunter2","cookie":"a=hunter2"}}', '{"headers":{"x-api-key":"***","cookie":"***"}}'],
    ['authMechanismProperties=AWS_SESSION_TOKEN:hunter2&w=1', 'authMechanismProperties=AWS_SESSION_TOKEN:***&w=1'],
    [`a tf_0123456789ab_${'x'.repeat(43)} b`, 'a tf_0123456789ab_*** b'],
    ['got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2hunter2 here', 'got *** here'],
    ['a cookie was refused, key: 7, the token expired', 'a cookie was refused, key: 7, the token expired'],
  ])('%s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked)
  })

  test('are not revealed from a text that is already masked', () => {
    const masked = maskSecrets('Authorization: Bearer hunter2hunter2, password="x", https://a:b@c/?key=1')
    expect(maskSecrets(masked)).toBe(masked)
  })

  // Quadratic time, a match of n characters at each of n places, takes hours here. Linear time takes a second.
  test.each([
    ['://', '://a'],
    ['names', 'token'],
    ['equal signs', 'token="'],
    ['colons', 'token:"'],
    ['spaces', `token${' '.repeat(50)}`],
    ['schemes', 'bearer '],
    ['headers', 'authorization:'],
    ['cookies', 'cookie:cookie'],
    ['x-', 'x-key-token-x-'],
    ['tokens', 'eyJaaaaaaaa.'],
    ['keys', 'tf_0123456789ab_'],
    ['quotes', '"\\"'],
  ])(
    'take no longer however many %s there are',
    (_what, part) => {
      const text = part.repeat(Math.ceil(1_000_000 / part.length))
      expect(typeof maskSecrets(text)).toBe('string')
    },
    30_000,
  )
})
