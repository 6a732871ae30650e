import { expect, test } from "vitest";
import { goingTokens } from "../../infra/cloudflare/going-tokens.ts";

const host = "photos.yamada.jp";
const person = (name: string, ...phones: string[]) => ({
  name,
  email: `${name}@yamada.jp`,
  phones: phones.map((phone) => ({ name: phone, secretVersion: 1 })),
});
const tokens = (...names: string[]) => names.map((name) => ({ name }));
const kens = `ouchi-photos ken iphone (${host})`;

test("A phone of a person who was renamed is named before its token is replaced, with what to do", () => {
  expect(goingTokens(tokens(kens), host, [person("kenji", "iphone")])).toEqual([
    "The token of ken's iphone goes, since the family list has no such phone any more: whoever has its headers is locked out. Was it only renamed? Then kenji's iphone gets a token of its own, so set that phone up with the headers that \"ouchi secrets kenji\" prints, or give it back its old name.",
  ]);
});

test("So is a phone that was renamed itself", () => {
  const [sentence] = goingTokens(tokens(kens), host, [person("ken", "iphone17")]);
  expect(sentence).toContain("The token of ken's iphone goes");
  expect(sentence).toContain("Then ken's iphone17 gets a token of its own");
});

test("A phone that was taken out is named alone", () => {
  const mios = `ouchi-photos mio iphone (${host})`;
  expect(goingTokens(tokens(kens, mios), host, [person("mio", "iphone")])).toEqual([
    "The token of ken's iphone goes, since the family list has no such phone any more: whoever has its headers is locked out.",
  ]);
});

test("Nothing is said of the family's own phones, of a new one, and of tokens of others and other homes", () => {
  const others = tokens(
    kens,
    "ouchi-photos ken iphone (pics.yamada.jp)",
    "ouchi-photos one-time PIN (prod)",
    `ouchi-photos ken old iphone (${host})`,
    `${kens} 2`,
    "ci",
  );
  expect(goingTokens(others, host, [person("ken", "iphone", "ipad")])).toEqual([]);
  expect(goingTokens([], host, [person("ken", "iphone")])).toEqual([]);
});
