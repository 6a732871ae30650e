import { storyOfAHouse } from "../story-of-a-house.ts";

storyOfAHouse("The whole story of a house");
