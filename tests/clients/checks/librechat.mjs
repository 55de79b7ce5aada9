// What LibreChat's engine shows: the package that its server runs agents with.

import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { GraphEvents, Run } from "@librechat/agents";
import { z } from "zod";
import { llmConfig } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

let number = 0;

async function ask(question, { tools = [], onText = () => {}, onThought = () => {}, signal } = {}) {
  const handlers = {
    [GraphEvents.ON_MESSAGE_DELTA]: { handle: (_event, { delta }) => onText(delta.content[0].text ?? "") },
    [GraphEvents.ON_REASONING_DELTA]: { handle: (_event, { delta }) => onThought(delta.content[0].think ?? "") },
  };
  const id = `run-${++number}`;
  const graphConfig = { type: "standard", llmConfig, tools, instructions: "Be brief." };
  const run = await Run.create({ runId: id, graphConfig, returnContent: true, customHandlers: handlers });
  const how = { configurable: { thread_id: id }, streamMode: "values", version: "v2", signal };
  const content = await run.processStream({ messages: [new HumanMessage(question)] }, how);
  return content.map((part) => part.text ?? "").join("");
}

await show({
  version: () => versionOf("@librechat/agents"),

  plain: () => ask("Hello"),

  streaming: async () => {
    const pieces = [];
    await ask("Hello", { onText: (text) => pieces.push(text) });
    return pieces;
  },

  tools: () => {
    const schema = z.object({ city: z.string() });
    const asked = tool(async (city) => weather(city), { name: "weather", description: "The weather of a city", schema });
    return ask("What is the weather in Paris?", { tools: [asked] });
  },

  reasoning: async () => {
    let thought = "";
    await ask("[[scenario:reasoning]]", { onThought: (text) => (thought += text) });
    return thought;
  },

  error: async () => {
    let said = "";
    try {
      await ask("[[scenario:fail]]", { onText: (text) => (said += text) });
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await ask("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    const onText = (text) => {
      said += text;
      if (said.includes("am")) abort.abort();
    };
    try {
      await ask("[[scenario:slow]]", { onText, signal: abort.signal });
    } catch {
      // that it was aborted
    }
    return await stopped(said);
  },
});
process.exit(0); // the engine keeps the process alive for its tokenizer
