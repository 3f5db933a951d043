// @nktkas/hyperliquid against a simulated exchange, whose base URL is the argument. Every answer and every event is held
// against the library's own type of it, where a field that is missing, unknown or of another form is a mistake; and what
// they say is the truth.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import * as hl from "@nktkas/hyperliquid";
import * as info from "@nktkas/hyperliquid/api/info";
import * as subscription from "@nktkas/hyperliquid/api/subscription";
import { Ajv } from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const base = process.argv[2];
const COIN = "BTC";
const MINUTE = 60_000;

// What hl-sim refuses as unknown: nothing of it is market data, or of an account that trades.
const NOT_SERVED = [
  "allBorrowLendReserveStates", "approvedBuilders", "borrowLendReserveState", "borrowLendUserState",
  "gossipPriorityAuctionStatus", "gossipRootIps", "isVip", "legalCheck", "liquidatable", "maxMarketOrderNtls",
  "outcomeTemplates", "perpAnnotation", "perpCategories", "perpConciseAnnotations", "perpDeployAuctionStatus",
  "preTransferCheck", "spotDeployState", "spotPairDeployAuctionStatus", "tokenDetails", "usdcRouting",
  "userBorrowLendInterest", "validatorL1Votes", "validatorSummaries", "webData2",
];

/** The types of a part of the library, as schemas by the name of their method. */
function schemas(part, suffix) {
  const folder = `${import.meta.dirname}/node_modules/@nktkas/hyperliquid/esm/api/${part}`;
  const generator = createGenerator({
    path: `${folder}/mod.d.ts`, type: "*", skipTypeCheck: true, additionalProperties: false, topRef: false, expose: "none",
  });
  const files = readdirSync(`${folder}/_methods`).filter((name) => name.endsWith(".d.ts"));
  const text = files.map((name) => readFileSync(`${folder}/_methods/${name}`, "utf8")).join("\n");
  const names = [...text.matchAll(new RegExp(`export type (\\w+)${suffix}\\b`, "g"))].map((found) => found[1]);
  const ajv = new Ajv({ strict: false, allowUnionTypes: true });
  const method = (name) => name[0].toLowerCase() + name.slice(1);
  const compiled = names.map((name) => [method(name), ajv.compile(generator.createSchema(name + suffix))]);
  assert.ok(compiled.length > 25, `${compiled.length} types of ${part}`);
  return new Map(compiled);
}

/** Whether a request of the library has fields beside its type. */
function takesParameters(part, method) {
  const request = part[`${method[0].toUpperCase()}${method.slice(1)}Request`];
  return Object.keys(request.entries).length > 1;
}

function fits(what, validate, value) {
  const text = JSON.stringify(value);
  assert.ok(validate(value), `${what}: ${JSON.stringify(validate.errors)} in ${text.slice(0, 2_000)}`);
}

async function truth(path, query = {}) {
  const answer = await fetch(`${base}/sim/${path}?${new URLSearchParams(query)}`);
  return await answer.json();
}

async function until(what, ask) {
  for (let waited = 0; waited < 60_000; waited += 50) {
    if (ask()) return;
    await sleep(50);
  }
  assert.fail(`never: ${what}`);
}

const bare = ({ coin, ...row }) => row;

/** Asks everything that the library can ask. */
async function answers(user, now) {
  const client = new hl.InfoClient({ transport: new hl.HttpTransport({ apiUrl: base }) });
  const { order } = (await client.historicalOrders({ user }))[0];
  const range = { startTime: now - 30 * MINUTE, endTime: now };
  const parameters = {
    activeAssetData: { coin: COIN }, candleSnapshot: { coin: COIN, interval: "1m", ...range }, fundingHistory: { coin: COIN, ...range },
    l2Book: { coin: COIN, nSigFigs: 5, mantissa: 2 }, marginTable: { id: 40 }, maxBuilderFee: { builder: user },
    orderStatus: { oid: order.oid }, perpAnnotation: { coin: "xyz:NVDA" }, perpDexLimits: { dex: "xyz" },
    perpDexStatus: { dex: "xyz" }, recentTrades: { coin: COIN }, settledOutcome: { outcome: 1209 }, borrowLendReserveState: { token: 0 },
    tokenDetails: { tokenId: `0x${"0".repeat(32)}` }, userFillsByTime: range, userTwapSliceFillsByTime: range,
    vaultDetails: { vaultAddress: user }, preTransferCheck: { source: user }, userBorrowLendInterest: range,
  };
  const served = [];
  for (const [method, validate] of schemas("info", "Response")) {
    const asked = takesParameters(info, method) ? [{ user, ...parameters[method] }] : [];
    const answer = await client[method](...asked).catch((error) => error);
    if (NOT_SERVED.includes(method)) {
      assert.ok(answer instanceof Error && /422/.test(answer.message), `${method} is served: ${JSON.stringify(answer)}`);
      continue;
    }
    if (answer instanceof Error) throw answer;
    // Of a vault that does not exist; the library says so, and its type does not.
    if (method !== "vaultDetails") fits(method, validate, answer);
    served.push(method);
  }

  // Those to which no trade is added any more.
  const ended = now - MINUTE - 5_000;
  const bars = await truth("truth/candles", { coin: COIN, interval: "1m", from: range.startTime, to: ended });
  const seen = await client.candleSnapshot({ coin: COIN, interval: "1m", ...range });
  assert.ok(bars.length >= 27);
  assert.deepEqual(seen.slice(0, bars.length), bars.map(bare));
  const trades = await client.recentTrades({ coin: COIN });
  const told = await truth("truth/trades", { coin: COIN, from: trades.at(-1).time, to: trades[0].time });
  assert.equal(trades.length, 10);
  assert.deepEqual(trades, told.slice(-10).reverse());
  for (const dex of ["", "xyz"]) {
    const [meta, contexts] = await client.metaAndAssetCtxs({ dex });
    assert.equal(meta.universe.length, contexts.length);
    assert.deepEqual(meta, await client.meta({ dex }));
  }
  const { tokens } = await client.spotMeta();
  tokens.forEach((token, position) => assert.equal(token.index, position, token.name));
  // Asked without a time, the newest payment comes first.
  const paid = (await client.userFunding({ user })).map((payment) => payment.time);
  assert.deepEqual(paid, paid.toSorted((a, b) => b - a));
  assert.ok(paid.length > 0);
  assert.equal((await client.userNonFundingLedgerUpdates({ user })).length, 1);
  return { served: served.length, client };
}

/** Subscribes to everything that the library can subscribe. */
async function events(user, rest) {
  const transport = new hl.WebSocketTransport({ url: `${base.replace("http", "ws")}/ws` });
  const client = new hl.SubscriptionClient({ transport });
  const parameters = {
    trades: { coin: COIN }, l2Book: { coin: COIN }, bbo: { coin: COIN }, candle: { coin: COIN, interval: "1m" },
    activeAssetCtx: { coin: COIN }, activeSpotAssetCtx: { coin: "@107" }, activeAssetData: { coin: COIN, user },
    allMids: {}, assetCtxs: { dex: "xyz" },
  };
  // Nothing has happened of which they would tell.
  const silent = ["notification", "outcomeMetaUpdates"];
  const came = new Map(), subscriptions = [];
  const types = schemas("subscription", "Event");
  for (const [method] of types) {
    const list = [];
    came.set(method, list);
    const listener = (event) => list.push(event);
    const asked = takesParameters(subscription, method) ? [parameters[method] ?? { user }] : [];
    subscriptions.push(await client[method](...asked, listener));
  }
  for (const [method, list] of came) {
    if (!silent.includes(method)) await until(method, () => list.length > 0);
    for (const event of list) fits(method, types.get(method), event);
  }

  const trades = came.get("trades").flat();
  const told = await truth("truth/trades", { coin: COIN, from: trades[0].time, to: trades.at(-1).time });
  const known = new Map(told.map((trade) => [trade.tid, trade]));
  for (const trade of trades) assert.deepEqual(trade, known.get(trade.tid));
  const keys = (value) => Object.keys(value).toSorted();
  const [bar] = await rest.candleSnapshot({ coin: COIN, interval: "1m", startTime: Date.now() - 10 * MINUTE });
  for (const [pushed, answered] of [
    [trades[0], (await rest.recentTrades({ coin: COIN }))[0]],
    [came.get("candle")[0], bar],
    [came.get("l2Book")[0], await rest.l2Book({ coin: COIN })],
    [came.get("activeAssetCtx")[0].ctx, (await rest.metaAndAssetCtxs())[1][0]],
    [came.get("userFills")[0].fills[0], (await rest.userFills({ user }))[0]],
    [came.get("allMids")[0].mids, await rest.allMids()],
  ]) assert.deepEqual(keys(pushed), keys(answered));

  // The same answer through the socket.
  const posted = new hl.InfoClient({ transport });
  assert.deepEqual(await posted.spotMeta(), await rest.spotMeta());
  // Refused if the acknowledgement does not name what was subscribed.
  for (const one of subscriptions) await one.unsubscribe();
  for (const options of [{ nSigFigs: 5, mantissa: 5 }, { nSigFigs: 3 }, { fast: true }]) {
    const books = [];
    const one = await client.l2Book({ coin: COIN, ...options }, (book) => books.push(book));
    await until(JSON.stringify(options), () => books.length > 0);
    fits("l2Book", types.get("l2Book"), books[0]);
    assert.deepEqual([books[0].fast, "spread" in books[0]], [options.fast, "nSigFigs" in options]);
    await one.unsubscribe();
  }
  await transport.close();
  return subscriptions.length;
}

const { now } = await truth("status");
const made = (await truth("truth/trades", { coin: COIN, from: now - 10 * MINUTE, to: now }))
  .map((trade) => trade.users[trade.side === "B" ? 1 : 0]);
const count = (user) => made.filter((other) => other === user).length;
// A trader whose orders rest in the book: busy, and with orders that are open.
const user = made.reduce((a, b) => (count(b) > count(a) ? b : a));
const { served, client } = await answers(user, now);
const subscribed = await events(user, client);
const { version } = JSON.parse(readFileSync(`${import.meta.dirname}/node_modules/@nktkas/hyperliquid/package.json`, "utf8"));
console.log(`@nktkas/hyperliquid ${version}: ${served} kinds of answers, ${subscribed} kinds of events`);
