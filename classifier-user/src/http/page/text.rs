//! Everything that a page says, once a language. What is in braces is put in by [`fill`].

use crate::questions::words::Lang;

macro_rules! messages {
    ($($name:ident: $en:literal, $fr:literal;)+) => {
        /// The messages of a language.
        #[derive(Debug)]
        pub(super) struct Messages { $(pub(super) $name: &'static str,)+ }

        static EN: Messages = Messages { $($name: $en,)+ };
        static FR: Messages = Messages { $($name: $fr,)+ };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $fr),)+];
    };
}

/// The messages of a language.
pub(super) const fn messages(lang: Lang) -> &'static Messages {
    match lang {
        Lang::En => &EN,
        Lang::Fr => &FR,
    }
}

/// A message with `{name}` replaced by its value.
pub(super) fn fill(message: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(message.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

messages! {
    // The frame of every page.
    skip: "Skip to the figures", "Aller aux chiffres";
    method: "How it is counted", "Comment on compte";
    pages: "Pages", "Pages";
    search: "Search", "Rechercher";
    search_hint: "Network or AS number", "Réseau ou numéro d’AS";
    attribution: "AS numbers and names: {dbip}, RouteViews and the NRO, by way of ip-location-db, CC BY 4.0.",
        "Numéros et noms d’AS : {dbip}, RouteViews et le NRO, par ip-location-db, CC BY 4.0.";
    counted_by: "Every packet is counted on the router by {classifier}; nothing is sampled, and no address of any person is stored.",
        "Chaque paquet est compté sur le routeur par {classifier} ; rien n’est échantillonné et aucune adresse de personne n’est conservée.";
    contact: "Contact", "Contact";

    // Headlines.
    title_home: "Where our traffic comes from, and where it goes", "D’où vient notre trafic, et où il va";
    title_short: "Internet traffic by network", "Le trafic Internet par réseau";
    lead: "{who}: the average over {period}, to {end} ({zone}).", "{who} : moyenne sur {period}, jusqu’au {end} ({zone}).";
    every_packet: "Every packet is counted.", "Chaque paquet est compté.";
    delayed: "Figures are published {delay} late.", "Les chiffres sont publiés avec un retard de {delay}.";
    since: "There is data since {since}.", "Les données commencent le {since}.";
    partly: "{covered} of this time was counted; what is missing is hatched in the graph.",
        "{covered} de cette durée ont été comptés ; ce qui manque est hachuré sur le graphique.";
    no_history: "The past is not kept: the agent runs without a state directory. There is the last hour.",
        "Le passé n’est pas conservé : l’agent tourne sans répertoire d’état. Il y a la dernière heure.";
    stale_away: "{name} is away: {stale} of its {routes} routes are stale, kept for a while as they last were.",
        "{name} est absent : {stale} de ses {routes} routes sont périmées, gardées un temps telles qu’elles étaient.";
    stale_up: "{name} is sending its routes again: {stale} of {routes} have not come yet.",
        "{name} renvoie ses routes : {stale} sur {routes} ne sont pas encore revenues.";
    unavailable: "This cannot be shown: {why}", "Affichage impossible : {why}";

    // Periods.
    period: "Period", "Période";
    hour: "1 h", "1 h";
    day: "24 h", "24 h";
    week: "7 d", "7 j";
    month: "30 d", "30 j";
    year: "1 y", "1 an";
    last_hour: "the last hour", "la dernière heure";
    last_day: "the last 24 hours", "les dernières 24 heures";
    last_week: "the last 7 days", "les 7 derniers jours";
    last_month: "the last 30 days", "les 30 derniers jours";
    last_year: "the last year", "la dernière année";

    // Figures.
    inward: "In", "Entrant";
    outward: "Out", "Sortant";
    in_long: "↑ In: from the Internet to us", "↑ Entrant : d’Internet vers nous";
    out_long: "↓ Out: from us to the Internet", "↓ Sortant : de nous vers Internet";
    now_in: "In now", "Entrant, maintenant";
    now_out: "Out now", "Sortant, maintenant";
    average_in: "In, on average", "Entrant, en moyenne";
    average_out: "Out, on average", "Sortant, en moyenne";
    figures: "Key figures", "Chiffres clés";
    average: "average {rate}", "moyenne {rate}";
    ipv6: "IPv6", "IPv6";
    ipv6_of: "of traffic in; {out} of traffic out", "du trafic entrant ; {out} du trafic sortant";
    p95: "95th percentile", "95e centile";
    p95_of: "in {in}, out {out}", "entrant {in}, sortant {out}";
    peak: "Peak in", "Pointe entrante";
    peak_at: "over five minutes, on {at}", "sur cinq minutes, le {at}";
    coverage: "Attributed", "Attribué";
    coverage_of: "of the last hour’s traffic is of a known network", "du trafic de la dernière heure est d’un réseau connu";
    share: "Share", "Part";
    share_of: "of traffic in: {rank}; of traffic out {share}: {out_rank}", "du trafic entrant : {rank} ; {share} du trafic sortant : {out_rank}";
    share_in_only: "of traffic in: {rank}", "du trafic entrant : {rank}";
    unranked: "not ranked", "sans rang";

    // Graphs.
    graph_as: "Traffic by network", "Le trafic par réseau";
    graph_group: "Traffic by group of networks", "Le trafic par groupe de réseaux";
    graph_of: "Traffic of {name}", "Trafic de {name}";
    by: "Colours", "Couleurs";
    by_as: "by network", "par réseau";
    by_group: "by group", "par groupe";
    describe: "Stacked areas over {period}: in above the axis, out below. In: {in} on average, {in_peak} at most. Out: {out} on average, {out_peak} at most.",
        "Aires empilées sur {period} : entrant au-dessus de l’axe, sortant au-dessous. Entrant : {in} en moyenne, {in_peak} au plus. Sortant : {out} en moyenne, {out_peak} au plus.";
    describe_largest: "The largest: {names}.", "Les plus grands : {names}.";
    no_data: "no data", "pas de données";
    gap: "not counted", "non compté";
    graph_table: "The graph as a table", "Le graphique en tableau";
    graph_caption: "Averages in", "Moyennes en";
    time: "Time", "Heure";
    total: "total", "total";
    other: "others", "autres";
    unmatched: "unknown network", "réseau inconnu";
    non_ip: "not IP", "hors IP";
    graph_files: "This graph:", "Ce graphique :";
    table_files: "This table:", "Ce tableau :";
    graph_source: "Source: {who}. Every packet counted, none sampled. {end} ({zone}).",
        "Source : {who}. Chaque paquet est compté, aucun n’est échantillonné. {end} ({zone}).";

    // Tables.
    networks: "Networks", "Réseaux";
    networks_of: "Autonomous systems by traffic over {period}.", "Les systèmes autonomes par trafic sur {period}.";
    groups: "Groups", "Groupes";
    groups_of: "Networks that people see as one thing, by traffic over {period}.",
        "Des réseaux qui ne font qu’un pour le public, par trafic sur {period}.";
    kinds: "Kinds", "Catégories";
    kinds_of: "Groups by what they are.", "Les groupes par activité.";
    links: "Links", "Liens";
    links_of: "Where our network meets the others.", "Là où notre réseau rencontre les autres.";
    neighbors: "Neighbours", "Voisins";
    neighbors_of: "The first network on the way, by traffic over {period}. In: by the way out, which may be another.",
        "Le premier réseau sur le chemin, par trafic sur {period}. Entrant : d’après le chemin sortant, qui peut être un autre.";
    neighbor: "Neighbour", "Voisin";
    no_path: "path unknown", "chemin inconnu";
    rank: "Rank", "Rang";
    network: "Network", "Réseau";
    group: "Group", "Groupe";
    kind: "Kind", "Catégorie";
    link: "Link", "Lien";
    change: "Change", "Évolution";
    trend: "Trend", "Tendance";
    sort_in: "Sort by traffic in", "Trier par trafic entrant";
    sort_out: "Sort by traffic out", "Trier par trafic sortant";
    new: "new", "nouveau";
    all: "All traffic", "Tout le trafic";
    more: "Show {n}", "Afficher {n}";
    no_name: "no name", "sans nom";
    below: "below what is published", "sous le seuil de publication";

    // One subject.
    an_as: "Network", "Réseau";
    a_group: "Group of networks", "Groupe de réseaux";
    a_kind: "Kind of networks", "Catégorie de réseaux";
    a_link: "Link", "Lien";
    part_of: "part of {group}", "fait partie de {group}";
    members: "Its networks", "Ses réseaux";
    members_of: "Over {period}.", "Sur {period}.";
    by_link: "By link", "Par lien";
    by_link_of: "Averages over {period}.", "Moyennes sur {period}.";
    months: "Months", "Mois";
    a_month: "Month", "Mois";
    share_in: "Share of traffic in", "Part du trafic entrant";
    share_out: "Share of traffic out", "Part du trafic sortant";
    change_in: "Change of traffic in against the period before", "Évolution du trafic entrant par rapport à la période d’avant";
    change_out: "Change of traffic out against the period before", "Évolution du trafic sortant par rapport à la période d’avant";
    months_of: "95th percentile of five-minute averages: the larger direction is what is billed.",
        "95e centile des moyennes sur cinq minutes : le plus grand des deux sens est facturé.";
    volume_in: "Volume in", "Volume entrant";
    volume_out: "Volume out", "Volume sortant";
    counted: "Counted", "Compté";
    p95_in: "95th in", "95e entrant";
    p95_out: "95th out", "95e sortant";
    peak_in: "Peak in", "Pointe entrante";
    a_neighbor: "Neighbour: what goes by way of", "Voisin : ce qui passe par";
    by_a_neighbor: "Traffic by way of {name}", "Trafic par {name}";
    on_a_link: "Traffic over {name}", "Trafic sur {name}";
    transit: "paid transit", "transit payant";
    ix: "Internet exchange", "point d’échange";
    pni: "private interconnect", "interconnexion privée";
    customer: "customers", "clients";
    downstream: "towards customers", "vers les clients";
    upstream: "towards the Internet", "vers Internet";

    // Search.
    search_title: "Search", "Recherche";
    found: "Found for “{query}”", "Résultats pour « {query} »";
    found_none: "Nothing is called “{query}” here.", "Rien ne s’appelle « {query} » ici.";
    search_help: "Type a name (Netflix, Orange) or an AS number (2906).",
        "Tapez un nom (Netflix, Orange) ou un numéro d’AS (2906).";

    // Errors.
    not_found: "There is no such page", "Cette page n’existe pas";
    not_found_help: "It may have no traffic in this period, or not be published.",
        "Elle n’a peut-être pas de trafic sur cette période, ou n’est pas publiée.";
    bad_request: "This address says something that is not possible", "Cette adresse demande quelque chose d’impossible";
    busy: "Too many people are looking at once", "Trop de monde regarde en même temps";
    busy_help: "Please try again in a few seconds.", "Réessayez dans quelques secondes.";
    broken: "This page could not be made", "Cette page n’a pas pu être faite";
    back: "To the overview", "Vers la vue d’ensemble";

    // How it is counted.
    about_title: "What the figures mean, and how they are counted", "Ce que disent les chiffres, et comment on compte";
    about_exact: "Exact, not sampled", "Exact, sans échantillon";
    about_exact_text: "Usual traffic statistics look at one packet in a thousand and multiply. Here a small program in the router’s kernel looks at every packet as it passes and adds its length to a counter of the network at its other end. The counters are read every few seconds. Every packet is passed on unchanged.",
        "D’ordinaire, les statistiques de trafic regardent un paquet sur mille et multiplient. Ici, un petit programme dans le noyau du routeur regarde chaque paquet qui passe et ajoute sa longueur au compteur du réseau qui est à l’autre bout. Les compteurs sont lus toutes les quelques secondes. Chaque paquet repart tel quel.";
    about_private: "No one is watched", "Personne n’est observé";
    about_private_text: "What is kept are sums for whole networks. Which customer talked to whom is not recorded anywhere; no address of any person is stored.",
        "On ne garde que des sommes par réseau entier. Qui a parlé à qui n’est enregistré nulle part ; aucune adresse de personne n’est conservée.";
    about_bytes: "Which bytes", "Quels octets";
    about_bytes_text: "Bytes on the wire: IP packets with their Ethernet header and VLAN tags, without checksum and preamble. A volume of 1 GB is 1,000,000,000 bytes; a rate of 1 Gbit/s is 1,000,000,000 bits a second.",
        "Les octets sur la ligne : les paquets IP avec leur en-tête Ethernet et leurs étiquettes VLAN, sans somme de contrôle ni préambule. 1 Go, c’est 1 000 000 000 octets ; 1 Gbit/s, c’est 1 000 000 000 bits par seconde.";
    about_directions: "In and out", "Entrant et sortant";
    about_directions_text: "In is what comes from the Internet to this network and its customers, out is what goes from them to the Internet. A packet in belongs to the network that sent it, a packet out to the one it goes to. Traffic is taken on the links that face the Internet, so that no packet counts twice.",
        "Entrant : ce qui vient d’Internet vers ce réseau et ses clients. Sortant : ce qui va d’eux vers Internet. Un paquet entrant appartient au réseau qui l’a envoyé, un paquet sortant à celui où il va. Le trafic est pris sur les liens tournés vers Internet : aucun paquet ne compte deux fois.";
    about_networks: "Networks, groups, the unknown", "Réseaux, groupes, inconnus";
    about_networks_text: "A network is an autonomous system (AS): an organisation with its own routes, by its number. The longest route that covers an address says whose it is. Groups are ASes that people see as one thing. A service on another’s network (a cache, a CDN, a cloud) counts for that network: the operator’s own caches of Netflix or Google are not in these figures. Where no route covers the address, the network is unknown.",
        "Un réseau est un système autonome (AS) : une organisation qui a ses propres routes, connue par son numéro. La route la plus longue qui couvre une adresse dit à qui elle est. Un groupe, ce sont des AS qui ne font qu’un pour le public. Un service hébergé sur le réseau d’un autre (cache, CDN, nuage) compte pour ce réseau : les caches de Netflix ou de Google placés chez l’opérateur ne sont pas dans ces chiffres. Là où aucune route ne couvre l’adresse, le réseau est inconnu.";
    about_averages: "Averages, peaks, the 95th percentile", "Moyennes, pointes, 95e centile";
    about_averages_text: "A rate is an average over the time that was counted. The peak is the highest five minutes. For the 95th percentile the averages of all five minutes of the period are put in order and the highest 5 % are left out: the highest of the rest, of the larger direction, is what transit is usually billed by. A share is of all bytes of that direction, the unknown ones included. Change compares with the period of the same length before.",
        "Un débit est une moyenne sur le temps compté. La pointe, ce sont les cinq minutes les plus hautes. Pour le 95e centile, on range les moyennes de toutes les cinq minutes de la période et on laisse de côté les 5 % les plus hautes : la plus haute du reste, dans le plus grand des deux sens, est ce que le transit facture d’habitude. Une part se rapporte à tous les octets de ce sens, inconnus compris. L’évolution compare à la période de même longueur qui précède.";
    about_gaps: "Gaps", "Trous";
    about_gaps_text: "Where nothing was counted, because the router or the counter was off, the graph is hatched. A gap is not zero: it is in no average and in no percentile. Days are those of the time zone given at the top.",
        "Là où rien n’a été compté, parce que le routeur ou le compteur était arrêté, le graphique est hachuré. Un trou n’est pas un zéro : il n’entre dans aucune moyenne ni aucun centile. Les jours sont ceux du fuseau donné en haut.";
    about_public: "What is left out here", "Ce qui n’est pas publié ici";
    about_public_text: "The operator chooses what is published: small networks may be put together as “others”, figures rounded and shown late.",
        "L’opérateur choisit ce qui est publié : les petits réseaux peuvent être réunis sous « autres », les chiffres arrondis et montrés avec retard.";
    about_sources: "Where the names come from", "D’où viennent les noms";
    about_table: "The route table has {ipv4} IPv4 and {ipv6} IPv6 prefixes, from: {sources}.",
        "La table de routes contient {ipv4} préfixes IPv4 et {ipv6} préfixes IPv6, de : {sources}.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
    }

    #[test]
    fn both_languages_say_all_and_differ() {
        // The same word in both.
        let same = ["pages", "contact", "hour", "day", "ipv6", "total"];
        for (name, en, fr) in ALL {
            assert!(!en.trim().is_empty() && !fr.trim().is_empty(), "{name}");
            assert_eq!(en == fr, same.contains(name), "{name}: {en}");
            assert_eq!(places(en), places(fr), "{name}");
        }
        assert!(ALL.len() > 100);
    }

    #[test]
    fn values_are_put_in() {
        let text = fill(messages(Lang::Fr).graph_of, &[("name", "Netflix")]);
        assert_eq!(text, "Trafic de Netflix");
    }
}
