// What a client showed, written down for the test that started it: one name for each check, in `showed.json`.

import { readFileSync, writeFileSync } from "node:fs";

// Runs each check and notes what it returns under its name.
export async function show(checks) {
  const showed = {};
  for (const [name, check] of Object.entries(checks))
    try {
      showed[name] = await check();
    } catch (error) {
      console.error(error); // the others still have something to show
    }
  writeFileSync("showed.json", JSON.stringify(showed));
}

export const versionOf = (name) => JSON.parse(readFileSync(`../node_modules/${name}/package.json`)).version;

export const weather = ({ city }) => `21 degrees in ${city}`;

// Whether the agent's run is over soon after its client left; by itself the slow answer takes nine seconds.
export async function stopped(said) {
  if (!said.includes("I am") || said.includes("word")) return false; // it did not leave in the middle
  for (let tries = 0; tries < 40; tries++) {
    const { sessions } = await askGateway("sessions");
    const states = await Promise.all(sessions.map(({ id }) => askGateway("status", { sessionId: id })));
    if (!states.some(({ session }) => session?.isActive)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

async function askGateway(method, params = {}) {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ method, params });
  return (await fetch(`${process.env.GATEWAY}/invoke`, { method: "POST", headers, body })).json();
}
