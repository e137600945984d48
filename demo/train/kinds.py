"""The five kinds of documents: what each states, in which words, what its summaries are, and what
can be asked about it.

`length` is how much a document has besides its facts, from 0 to 1.
"""

from random import Random

import pools
from writer import Document, Writer, answered


def incident(rng: Random, length: float) -> Document:
    w = Writer(rng)
    what = w.pick(list(pools.INCIDENTS))
    w.fact("what", "phrase", what)
    w.fact("cause", "phrase", w.pick(pools.INCIDENTS[what]))
    w.fact("place", "place", w.place())
    w.fact("day", "day", w.pick(pools.DAYS))
    w.fact("n", "number", w.number(2, 99))
    w.fact("lead", "person", w.person())
    time, street = w.time(), w.pick(pools.STREETS)
    surname = w.facts["lead"].text.split()[1]
    sentences = [
        w.say(
            "{what} was reported in {place} on {day}.",
            "On {day} there was {what} in {place}.",
            "{place} had {what} on {day}.",
            "INCIDENT REPORT. Place: {place}. Day: {day}. Kind: {what}.",
        ),
        w.say(
            "It was caused by {cause}.",
            "The cause was {cause}.",
            "Experts say that {cause} led to it.",
            "It began with {cause}.",
        ),
        w.say(
            "{n} people had to leave their homes.",
            "{n} residents were taken to safety.",
            "The crew brought {n} people to the school hall.",
            "In all, {n} people were moved.",
        ),
        w.say(
            "{lead} led the work.",
            "The crew was led by {lead}.",
            "{lead} was in charge of the crew.",
            "Officer {lead} directed everything.",
        ),
    ]
    if rng.random() < length:
        sentences.append(w.say("The call came at {time} from {street}.", time=time, street=street))
    if rng.random() < length:
        sentences.append(
            w.say(
                "{surname} thanked the people of {place} for their help.",
                "By night, {surname} could say that {place} was safe.",
                "{lead} will write a report for {place}.",
                surname=surname,
            )
        )
    summaries = w.summaries(
        "{what} in {place} on {day}, caused by {cause}. {n} people were moved. {lead} led the work.",
        "On {day}, {cause} caused {what} in {place}. {lead} led the work and {n} people were moved.",
        "{place} had {what} on {day} because of {cause}; {n} people were moved. {lead} was in charge.",
    )
    questions = [
        ("What happened?", "{what}"),
        ("Where was it?", "{place}"),
        ("On which day?", "{day}"),
        ("How many people were moved?", "{n}"),
        ("Who led the work?", "{lead}"),
        ("What was the cause?", "{cause}"),
    ]
    return w.document("incident", sentences, summaries, answered(w, questions), length)


def meeting(rng: Random, length: float) -> Document:
    w = Writer(rng)
    w.fact("group", "phrase", w.pick(pools.GROUPS))
    w.fact("place", "place", w.place())
    w.fact("chair", "person", w.person())
    w.fact("item", "phrase", w.pick(pools.PROJECTS))
    w.fact("cost", "number", w.number(20, 950))
    w.fact("next", "day", w.pick(pools.DAYS))
    w.fact("time", "time", w.time())
    first = w.facts["chair"].text.split()[0]
    yes, no = w.number(5, 30), w.number(1, 4)
    sentences = [
        w.say(
            "The {group} of {place} met with {chair} in the chair.",
            "{chair} opened the meeting of the {place} {group}.",
            "Notes of the {place} {group}. Chair: {chair}.",
        ),
        w.say(
            "It was agreed to buy {item} for {cost} pounds.",
            "The members decided to spend {cost} pounds on {item}.",
            "After some talk, the vote was for {item} at a price of {cost} pounds.",
        ),
        w.say(
            "The next meeting is on {next} at {time}.",
            "All meet again on {next} at {time}.",
            "{next} at {time} was set for the next meeting.",
        ),
    ]
    if rng.random() < length:
        sentences.append(w.say("{yes} were in favour and {no} against.", yes=yes, no=no))
    if rng.random() < length:
        sentences.append(
            w.say(
                "{first} had long wanted {item} for {place}.",
                "{chair} thanked everyone in {place} who had given money.",
                "{first} will order it.",
                first=first,
            )
        )
    summaries = w.summaries(
        "The {place} {group}, chaired by {chair}, will buy {item} for {cost} pounds. "
        "It meets again on {next} at {time}.",
        "With {chair} in the chair, the {group} of {place} agreed to spend {cost} pounds on {item}. "
        "The next meeting is on {next} at {time}.",
        "{chair} led the {place} {group}, which buys {item} for {cost} pounds and meets again on "
        "{next} at {time}.",
    )
    questions = [
        ("Who met?", "{group}"),
        ("Where was it?", "{place}"),
        ("Who was in the chair?", "{chair}"),
        ("What will be bought?", "{item}"),
        ("How much does it cost?", "{cost}"),
        ("When is the next meeting?", "{next} at {time}"),
    ]
    return w.document("meeting", sentences, summaries, answered(w, questions), length)


def weather(rng: Random, length: float) -> Document:
    w = Writer(rng)
    w.fact("place", "place", w.place())
    w.fact("day", "day", w.pick(pools.DAYS))
    w.fact("sky", "phrase", w.pick(pools.SKIES))
    low = rng.randint(0, 18)
    w.fact("high", "number", low + rng.randint(2, 14))
    w.fact("wind", "phrase", w.pick(pools.WINDS))
    w.fact("rain", "number", w.number(1, 60))
    w.fact("warning", "phrase", w.pick(pools.WARNINGS))
    other = w.place()
    sentences = [
        w.say(
            "{day} in {place} will be {sky}.",
            "Weather for {place}: {sky} on {day}.",
            "The people of {place} can expect a {sky} {day}.",
        ),
        w.say(
            "It will be up to {high} degrees after {low} in the night.",
            "From {low} degrees at dawn it goes up to {high}.",
            "The highest temperature is {high} degrees, the lowest {low}.",
            low=str(low),
        ),
        w.say(
            "The wind comes from the {wind}.",
            "Expect wind from the {wind}.",
            "A fresh wind blows from the {wind}.",
        ),
        w.say(
            "{rain} millimetres of rain will fall.",
            "Rain adds up to {rain} millimetres.",
            "There will be {rain} millimetres of rain.",
        ),
        w.say(
            "The weather office warns of {warning}.",
            "There is a warning of {warning}.",
            "Beware of {warning}.",
        ),
    ]
    if rng.random() < length:
        sentences.append(
            w.say(
                "{other} will be drier than {place}.",
                "It is always colder in {other} than in {place}.",
                other=other,
            )
        )
    summaries = w.summaries(
        "{place} will be {sky} on {day}, up to {high} degrees, with {rain} millimetres of rain and "
        "wind from the {wind}. There is a warning of {warning}.",
        "{day} in {place}: {sky}, {high} degrees, wind from the {wind}, {rain} millimetres of rain. "
        "Beware of {warning}.",
    )
    questions = [
        ("Which place is it about?", "{place}"),
        ("Which day is it about?", "{day}"),
        ("How warm will it get?", "{high}"),
        ("Where does the wind come from?", "{wind}"),
        ("How much rain will fall?", "{rain}"),
        ("What is the warning?", "{warning}"),
    ]
    return w.document("weather", sentences, summaries, answered(w, questions), length)


def match(rng: Random, length: float) -> Document:
    w = Writer(rng)
    w.fact("home", "team", f"{w.place()} {w.fresh(pools.TEAMS)}")
    w.fact("away", "team", f"{w.place()} {w.fresh(pools.TEAMS)}")
    lost = rng.randint(0, 4)
    w.fact("score", "number", f"{lost + rng.randint(1, 4)}-{lost}")
    w.fact("sport", "phrase", w.pick(pools.SPORTS))
    w.fact("day", "day", w.pick(pools.DAYS))
    w.fact("star", "person", w.person())
    w.fact("crowd", "number", w.number(110, 990))
    winner, loser = w.facts["home"].text.split()[0], w.facts["away"].text.split()[0]
    surname, minute = w.facts["star"].text.split()[1], w.number(5, 88)
    sentences = [
        w.say(
            "{home} beat {away} {score} at {sport} on {day}.",
            "On {day} {away} lost the {sport} match against {home} {score}.",
            "A {score} win for {home}: on {day} {away} had no chance at {sport}.",
        ),
        w.say(
            "The winning goal came from {star}.",
            "{star} scored the winning goal.",
            "It was {star} who scored the goal that decided it.",
        ),
        w.say(
            "{crowd} people watched.",
            "There were {crowd} spectators.",
            "The crowd counted {crowd}.",
        ),
    ]
    if rng.random() < length:
        sentences.append(
            w.say(
                "In minute {minute} {surname} hit the post.",
                "{surname} was carried off the field by the fans.",
                "{star} has played for {winner} for years.",
                surname=surname,
                minute=minute,
                winner=winner,
            )
        )
    if rng.random() < length:
        sentences.append(
            w.say(
                "{loser} will want to forget the day.",
                "The bus back to {loser} was silent.",
                "{winner} celebrated until late.",
                winner=winner,
                loser=loser,
            )
        )
    summaries = w.summaries(
        "{home} beat {away} {score} at {sport} on {day} in front of {crowd} people. "
        "{star} scored the winning goal.",
        "At {sport}, {home} won {score} against {away} on {day}; {star} scored the winning goal and "
        "{crowd} people watched.",
    )
    questions = [
        ("Who won?", "{home}"),
        ("Who lost?", "{away}"),
        ("What was the score?", "{score}"),
        ("Who scored the winning goal?", "{star}"),
        ("How many people watched?", "{crowd}"),
        ("On which day?", "{day}"),
    ]
    return w.document("match", sentences, summaries, answered(w, questions), length)


def letter(rng: Random, length: float) -> Document:
    w = Writer(rng)
    w.fact("sender", "person", w.person())
    w.fact("reader", "person", w.person())
    w.fact("gift", "phrase", w.pick(pools.GIFTS))
    w.fact("event", "phrase", w.pick(pools.OCCASIONS))
    w.fact("place", "place", w.place())
    w.fact("day", "day", w.pick(pools.DAYS))
    w.fact("time", "time", w.time())
    sender, reader = w.facts["sender"].text.split()[0], w.facts["reader"].text.split()[0]
    home = w.place()
    sentences = [
        w.say(
            "Dear {reader},",
            "To {reader}.",
            "My dear {reader},",
        ),
        w.say(
            "thank you for {gift}.",
            "it was kind of you to send me {gift}.",
            "what a surprise to get {gift} from you!",
        ),
        w.say(
            "Please come to the {event} in {place} on {day} at {time}.",
            "Will you be at the {event} on {day}? It begins at {time} in {place}.",
            "On {day} at {time} there is a {event} in {place}, and I hope to see you.",
        ),
    ]
    if rng.random() < length:
        sentences.append(
            w.say(
                "{sender} sends love from {home}.",
                "It has been quiet in {home} since you left, {reader_first}.",
                "I took the early train from {home} to {place}.",
                sender=sender,
                reader_first=reader,
                home=home,
            )
        )
    first, *rest = sentences
    body = w.document("letter", [first, *rest], (), [], length)
    closing = w.say("Yours, {sender}", "With love, {sender}", "Your friend {sender}")
    summaries = w.summaries(
        "{sender} thanks {reader} for {gift} and invites to the {event} in {place} on {day} at {time}.",
        "In a letter to {reader}, {sender} gives thanks for {gift}. The {event} is in {place} on {day} "
        "at {time}.",
    )
    questions = [
        ("Who wrote the letter?", "{sender}"),
        ("Who got the letter?", "{reader}"),
        ("What was the gift?", "{gift}"),
        ("Where is the {event}?", "{place}"),
        ("When is the {event}?", "{day} at {time}"),
    ]
    return Document(
        "letter", f"{body.text} {closing}", summaries, body.facts, tuple(answered(w, questions))
    )


KINDS = [incident, meeting, weather, match, letter]
